"""A folder to the hub: checked at the door, sent by huggingface_hub, and told in one line."""

from __future__ import annotations

import logging
import warnings
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Literal

from goodsam.data.errors import InputError
from goodsam.stages.lines import LOG

RepoType = Literal["model", "dataset"]


def check_repo(repo: str, revision: str | None = None) -> None:
    """InputError for what cannot be a repository on the hub, OWNER/NAME, or a branch of one."""
    from huggingface_hub.errors import HFValidationError
    from huggingface_hub.utils import validate_repo_id

    try:
        validate_repo_id(repo)
    except HFValidationError as error:
        raise InputError(f"{repo!r}: no name for the hub ({_first_line(error)})") from error
    if "/" not in repo:
        raise InputError(f"{repo!r}: whose is it to be? Give OWNER/NAME")
    if revision is not None and (not revision or revision != "".join(revision.split())):
        raise InputError(f"--revision {revision!r}: no name of a branch; give one without spaces")


def check_token() -> None:
    """InputError without a token, or with one that the hub does not know; OSError without a hub."""
    from huggingface_hub import HfApi, get_token

    if get_token() is None:
        raise InputError(
            "no token for the hub: log in with `hf auth login`, or set HF_TOKEN to a token that "
            "may write (https://huggingface.co/settings/tokens)"
        )
    with _errors_in_one_line("the hub"):
        HfApi().whoami()


def files_of(folder: Path) -> dict[str, int]:
    """What `upload` sends of a folder: path in the repository -> bytes."""
    files = (path for path in sorted(folder.rglob("*")) if path.is_file())
    return {path.relative_to(folder).as_posix(): path.stat().st_size for path in files}


def upload(
    folder: Path,
    repo: str,
    repo_type: RepoType,
    *,
    private: bool = False,
    revision: str | None = None,
    replaces: Collection[str] = (),
    message: str = "Upload by goodsam",
) -> str:
    """Send all files of a folder to a repository, which is made if it is not there; its URL.

    private: make it private; one that is there and public is refused before anything is sent.
    revision: the branch, made if it is not there; `main` if None. replaces: patterns of files that
    are removed there unless they are sent again. What was sent before a connection broke is not
    sent again by the next call. Raises InputError for what the hub refuses (a name, a token without
    the right to write, a card), OSError for whatever else goes wrong.
    """
    from huggingface_hub import HfApi

    api = HfApi(library_name="goodsam")
    with _errors_in_one_line(repo):
        url = api.create_repo(repo, repo_type=repo_type, private=private or None, exist_ok=True)
        if private and not api.repo_info(repo, repo_type=repo_type).private:
            raise InputError(
                f"{repo}: is there already and public; make it private in its settings, or give "
                "another name"
            )
        if revision is not None and not revision.startswith("refs/"):
            api.create_branch(repo, branch=revision, repo_type=repo_type, exist_ok=True)
        api.upload_folder(
            repo_id=repo,
            folder_path=folder,
            repo_type=repo_type,
            revision=revision,
            commit_message=message,
            delete_patterns=list(replaces) or None,
        )
    return str(url)


@contextmanager
def _errors_in_one_line(what: str) -> Iterator[None]:
    """Whatever huggingface_hub raises, as InputError or OSError; its warnings as lines.

    Its bars are drawn at a terminal alone, and not where nothing is to be told.
    """
    from huggingface_hub.utils import (
        are_progress_bars_disabled,
        disable_progress_bars,
        enable_progress_bars,
    )

    if quiet := not (LOG.isEnabledFor(logging.INFO) or are_progress_bars_disabled()):
        disable_progress_bars()
    try:
        with warnings.catch_warnings(record=True) as said:
            warnings.simplefilter("always")
            yield
        for warning in said:
            LOG.warning("%s: %s", what, " ".join(str(warning.message).split()))
    except InputError:
        raise
    except Exception as error:  # of HTTP, of the connection, of files, of answers that are none
        raise _told(what, error) from error
    finally:
        if quiet:
            enable_progress_bars()


def _told(what: str, error: Exception) -> Exception:
    """The error that says what to do."""
    cause = _cause(error)
    status = getattr(getattr(cause, "response", None), "status_code", None)
    why = getattr(cause, "server_message", None) or _first_line(cause)
    if status in (401, 403):
        return InputError(
            f"{what}: the token may not write there ({why}); take one that may "
            "(https://huggingface.co/settings/tokens), or another name"
        )
    if status == 400:  # the outer error has what the library knows: which part of a card, say
        return InputError(f"{what}: refused by the hub ({' '.join(str(error).split())})")
    return OSError(
        f"{what}: not uploaded ({why}); nothing here has changed, start the same command again"
    )


def _cause(error: Any) -> Any:
    """The innermost error that a library raised another one from."""
    while error.__cause__ is not None:
        if getattr(error, "response", None) is not None:
            break
        error = error.__cause__
    return error


def _first_line(error: BaseException) -> str:
    return (str(error).strip().splitlines() or [repr(error)])[0]
