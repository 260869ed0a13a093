"""The licences of TA and student: by name, by card, and by what a card or run was made from."""

from __future__ import annotations

import json

import huggingface_hub
import pytest
import yaml
from huggingface_hub.errors import EntryNotFoundError, LocalEntryNotFoundError

from goodsam.data.licences import UNKNOWN
from goodsam.data.weights import SEGFORMERS
from goodsam.stages.cards import MAX_CARD, hub_card, read_card
from goodsam.stages.licences import NETWORKS, licence_of_starts, network_licence

NVIDIA = "nvidia/segformer-b0-finetuned-cityscapes-1024-1024"


def folder(path, card=None, starts=None):
    """A model's directory with a card of these values, and what a run of ours writes."""
    path.mkdir(parents=True)
    if card is not None:
        text = card if isinstance(card, str) else f"---\n{yaml.safe_dump(card)}---\n# a model\n"
        (path / "README.md").write_text(text)
    config = {} if starts is None else {"goodsam": {"geometry": {}, "starts": starts}}
    (path / "config.json").write_text(json.dumps(config))
    return path


@pytest.mark.parametrize(
    ("card", "starts", "name", "use"),
    [
        ({"license": "mit"}, None, "MIT", "permissive"),
        ({"license": ["mit", "apache-2.0"]}, None, "Apache-2.0 and MIT", "permissive"),
        ({"license": "other", "license_name": "cc-by-nc-4.0"}, None, "cc-by-nc-4.0", None),
        ({"license": "other"}, None, "other", "unknown"),
        ({"license": 3}, None, None, "unknown"),
        ("---\nlicense: [\n---\n", None, None, "unknown"),
        ("no front matter", None, None, "unknown"),
        (None, None, None, "unknown"),
        # what the model was made from counts where it is known
        ({"license": "apache-2.0", "base_model": "nvidia/mit-b0"}, None, "NVIDIA", None),
        ({"license": "apache-2.0", "base_model": ["some/one"]}, None, "Apache-2.0", "permissive"),
        ({"license": "mit"}, [NVIDIA], "NVIDIA", "non-commercial"),
        (None, [NVIDIA, "own"], "NVIDIA", "non-commercial"),
        (None, ["street-student", "own"], None, "unknown"),
        (None, ["street-student", "street-ta"], "Apache-2.0", "permissive"),
        ({"license": "mit"}, ["own"], "MIT", "permissive"),
    ],
)
def test_a_directory_is_under_what_its_card_and_its_origins_say(tmp_path, card, starts, name, use):
    licence = network_licence(folder(tmp_path / "model", card, starts))
    assert (licence.name or "").startswith(name or "")
    assert (licence.name is None) == (name is None)
    assert licence.use == (use or "non-commercial")


def test_the_data_s_terms_are_said_beside(tmp_path):
    card = {"license": "mit", "datasets": ["huggan/cityscapes"]}
    licence = network_licence(folder(tmp_path / "model", card))
    assert licence.commercial
    assert "Cityscapes, whose own terms allow non-commercial use only" in str(licence)


def test_names_win_over_folders_where_loading_takes_the_name(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    folder(tmp_path / "street-student", {"license": "cc-by-nc-4.0"})
    assert network_licence("street-student").name == "Apache-2.0"
    eomt = "tue-mps/cityscapes_semantic_eomt_large_1024"
    assert network_licence(eomt).name == "MIT"
    folder(tmp_path / eomt, {"license": "cc-by-nc-4.0"})  # loading takes this one
    assert network_licence(eomt).name == "cc-by-nc-4.0"
    folder(tmp_path / "models" / NVIDIA, {"license": "apache-2.0"})  # its cards once said so
    assert network_licence(tmp_path / "models" / NVIDIA).use == "non-commercial"
    assert network_licence("street-mine") == UNKNOWN


def test_a_card_that_is_too_large_or_nests_without_end_says_nothing(tmp_path):
    large = "---\nlicense: mit\n---\n" + "x" * MAX_CARD
    assert read_card(folder(tmp_path / "large", large)).licence is None
    deep = f"---\nlicense: mit\nx: {'[' * 5000}\n---\n"
    assert read_card(folder(tmp_path / "deep", deep)).licence is None
    laughs = "".join(f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 9)}]\n" for n in range(1, 9))
    bomb = f"---\na0: &a0 x\n{laughs}license: *a8\n---\n"
    assert read_card(folder(tmp_path / "bomb", bomb)).licence is None


def test_the_hub_s_card_is_asked_for_and_may_be_out_of_reach(tmp_path, monkeypatch):
    folder(tmp_path / "snapshot", {"license": "mit"})
    asked = []

    def download(name, file):
        asked.append((name, file))
        if name == "some/one":
            return str(tmp_path / "snapshot" / file)
        raise (LocalEntryNotFoundError if name == "no/hub" else EntryNotFoundError)("gone")

    monkeypatch.setattr(huggingface_hub, "hf_hub_download", download)
    hub_card.cache_clear()
    assert network_licence("some/one").name == "MIT"
    assert network_licence("no/hub") == network_licence("no/card") == UNKNOWN
    network_licence(NVIDIA)  # known: nobody is asked
    assert asked == [("some/one", "README.md"), ("no/hub", "README.md"), ("no/card", "README.md")]
    hub_card.cache_clear()


def test_the_table_knows_the_demo_s_networks_and_who_could_play_which_part():
    assert set(SEGFORMERS) <= set(NETWORKS)
    for name, network in NETWORKS.items():
        assert network.roles, name
        assert network.licence.name, name
    for role in ("TA", "student"):
        usable = [n for n in NETWORKS.values() if role in n.roles and n.licence.commercial]
        assert usable, role


def test_a_checkpoint_is_under_the_strictest_of_what_its_run_began_with():
    assert licence_of_starts(["street-student", "street-ta"]).name == "Apache-2.0"
    assert licence_of_starts(["street-student", NVIDIA]).use == "non-commercial"
    assert licence_of_starts(["street-student", "mine"]).use == "unknown"
    assert licence_of_starts([]) == UNKNOWN
