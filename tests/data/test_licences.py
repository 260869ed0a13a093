"""What the names of licences allow, and what is left of several."""

from __future__ import annotations

import itertools

import pytest

from goodsam.data.licences import UNKNOWN, USES, Licence, licence_named, on_a_card, strictest

MIT, APACHE = licence_named("mit"), licence_named("Apache-2.0")
SAM = licence_named("SAM License")
OTHER = licence_named("other")
NC = licence_named("cc-by-nc-4.0")


@pytest.mark.parametrize(
    ("name", "use"),
    [
        ("apache-2.0", "permissive"),
        ("MIT", "permissive"),
        ("CC-BY-4.0", "permissive"),
        ("SAM License", "restricted"),
        ("sam-license", "restricted"),
        ("AGPL-3.0", "restricted"),
        ("cc-by-nc-4.0", "non-commercial"),
        ("CC-BY-NC-SA-3.0", "non-commercial"),
        ("apple-amlr", "non-commercial"),
        ("fair-noncommercial-research-license", "non-commercial"),
        ("My Non-Commercial Licence", "non-commercial"),
        ("NVIDIA Source Code License for SegFormer", "non-commercial"),
        ("other", "unknown"),
        ("license-of-ncsoft", "unknown"),  # nc is a word there, not a part of one
        ("mit-like", "unknown"),
        ("", "unknown"),
        ("  ", "unknown"),
        (None, "unknown"),
    ],
)
def test_what_a_name_allows(name, use):
    licence = licence_named(name)
    assert licence.use == use
    assert licence.commercial == (use in ("permissive", "restricted"))


@pytest.mark.parametrize(
    ("name", "kept"),
    [
        ("cc-by-nd-4.0", True),
        ("CC BY-NC-ND 4.0", True),
        ("all-rights-reserved", True),
        ("cc-by-nc-4.0", False),  # to sell is forbidden, to share is not
        ("NVIDIA Source Code License for SegFormer", False),
        ("license-of-ndarray", False),  # nd is a word there, not a part of one
        ("other", False),
        (None, False),
    ],
)
def test_what_forbids_sharing_says_so_whatever_stands_beside_it(name, kept):
    licence = licence_named(name)
    assert licence.forbids_sharing == kept
    assert strictest([NC, licence, MIT]).forbids_sharing == kept


def test_a_name_is_shown_as_people_know_it():
    assert (licence_named("mit").name, licence_named("sam-license").name) == ("MIT", "SAM License")
    assert str(MIT) == "MIT"
    assert "fields of use are excluded" in str(SAM)
    assert str(NC) == "cc-by-nc-4.0: non-commercial use only"
    assert str(UNKNOWN) == "not known"
    assert "not known" in str(OTHER)


@pytest.mark.parametrize(
    ("origins", "name", "use"),
    [
        ([], None, "unknown"),
        ([MIT], "MIT", "permissive"),
        ([MIT, APACHE, MIT], "Apache-2.0 and MIT", "permissive"),
        ([APACHE, SAM, MIT], "SAM License", "restricted"),
        ([MIT, UNKNOWN, SAM], None, "unknown"),
        ([UNKNOWN, OTHER, MIT], "other", "unknown"),
        ([NC, UNKNOWN, SAM], "cc-by-nc-4.0", "non-commercial"),
    ],
)
def test_the_strictest_of_the_origins_is_what_comes_out(origins, name, use):
    assert (strictest(origins).name, strictest(origins).use) == (name, use)


def test_no_order_and_no_grouping_of_the_origins_matters():
    some = (MIT, APACHE, SAM, OTHER, UNKNOWN, NC)
    for three in itertools.product(some, repeat=3):
        a, b, c = three
        found = {
            (licence.name, licence.use, frozenset(licence.notes))
            for licence in (
                *map(strictest, itertools.permutations(three)),
                strictest([strictest([a, b]), c]),
                strictest([a, strictest([b, c])]),
            )
        }
        assert len(found) == 1, three
        assert USES.index(strictest(three).use) == max(USES.index(x.use) for x in three)


def test_notes_of_all_origins_stay_once_each():
    on_data = MIT.noting("trained on A")
    assert strictest([on_data, NC, on_data]).notes == ("trained on A",)
    assert str(strictest([on_data, APACHE])) == "Apache-2.0 and MIT (trained on A)"


@pytest.mark.parametrize(
    "licence",
    [
        MIT,
        strictest([MIT, APACHE]),
        SAM,
        NC,
        UNKNOWN,
        OTHER,
        licence_named("apple-amlr"),
        licence_named("NVIDIA Source Code License for SegFormer"),
        strictest([NC, licence_named("apple-amlr")]),
    ],
)
def test_a_card_says_it_so_that_it_is_read_back(licence):
    said = on_a_card(licence)
    ids = said["license"] if isinstance(said["license"], list) else [said["license"]]
    names = [said["license_name"]] if ids == ["other"] and "license_name" in said else ids
    again = strictest(map(licence_named, names))
    assert (again.use, (again.name or "").lower()) == (licence.use, (licence.name or "").lower())


def test_a_stranger_s_name_of_a_licence_marks_up_no_card():
    said = on_a_card(Licence("x\n---\nlicense: mit <script>", "unknown"))
    assert said == {"license": "other", "license_name": "x-license-mit-script-"}
