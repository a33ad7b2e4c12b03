"""A folder of this machine as a repository of the Hub."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import httpx2
from huggingface_hub import HfApi
from huggingface_hub.errors import HfHubHTTPError, HFValidationError, LocalTokenNotFoundError

from vif.errors import InputError


def upload(
    folder: str | Path,
    name: str,
    kind: str = "model",
    *,
    private: bool = False,
    allow: Sequence[str] | None = None,
    ignore: Sequence[str] | None = None,
    api: HfApi | None = None,
) -> str:
    """Uploads a folder in one commit; files that exist only on the Hub stay.

    Args:
        folder: What to upload, binary files included.
        name: ``user/name`` or, for the user who is logged in, ``name``.
        kind: ``"model"``, ``"dataset"`` or ``"space"``.
        private: Whether a new repository is hidden from others.
        allow: Patterns of the only files to upload; all by default.
        ignore: Patterns of files to leave out.
        api: The Hub; the one of the environment by default.

    Returns:
        Address of the repository.

    Raises:
        InputError: If the name is none, nobody is logged in, or the Hub refuses.
    """
    api = api or HfApi()
    sdk = "gradio" if kind == "space" else None
    try:
        made = api.create_repo(
            name, repo_type=kind, private=private or None, exist_ok=True, space_sdk=sdk
        )
        api.upload_folder(
            folder_path=folder,
            repo_id=made.repo_id,
            repo_type=kind,
            commit_message=f"Upload {kind} from VIF Lens",
            allow_patterns=list(allow) if allow else None,
            ignore_patterns=list(ignore or ()),
        )
    except LocalTokenNotFoundError as error:
        raise InputError(_login(name)) from error
    except HFValidationError as error:
        raise InputError(f"{name!r} is not the name of a repository: give user/name.") from error
    except HfHubHTTPError as error:
        status = error.response.status_code if error.response is not None else None
        if status in (401, 403):
            raise InputError(_login(name)) from error
        raise InputError(
            f"The Hub refused {name} with status {status}: try again later."
        ) from error
    except (httpx2.HTTPError, OSError) as error:
        raise InputError(f"The Hub cannot be reached, so {name} was not uploaded.") from error
    return str(made)


def _login(name: str) -> str:
    return (
        f"You have no write access to {name}: log in with `hf auth login` and a token with "
        "write access, and check the name of the user or organisation."
    )
