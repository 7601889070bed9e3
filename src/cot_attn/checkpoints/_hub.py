"""Checkpoints on the Hugging Face hub."""

from pathlib import Path

from huggingface_hub import snapshot_download
from huggingface_hub.errors import DryRunError, GatedRepoError, RepositoryNotFoundError

from cot_attn.checkpoints._weights import FileSet, chosen_sets

_DESCRIPTIONS = ["*.json", "*.txt", "*.model", "*.jinja", "*.md"]


def download(
    name: str, *, revision: str | None = None, weights: str | None = None
) -> tuple[Path, str | None]:
    """Return the local copy of a checkpoint on the hub, downloading what is not there yet.

    Of several formats of the same weights one is downloaded. Without a network, or with
    `HF_HUB_OFFLINE=1`, what is in the hub's cache is used.

    Parameters
    ----------
    name
        The hub id.
    revision
        A branch, tag or commit.
    weights
        The name of the weight file, where it is not a usual one.

    Returns
    -------
    tuple
        The folder, and the weight file in it to read.

    Raises
    ------
    FileNotFoundError
        Where the hub has no such model or file, it may not be read, or the hub cannot be reached
        and the model is not in the cache.
    """
    try:
        folder = Path(snapshot_download(name, revision=revision, allow_patterns=_DESCRIPTIONS))
        commit = folder.name  # from here on the same commit, whatever is pushed meanwhile
        try:
            listed = [
                each.filename for each in snapshot_download(name, revision=commit, dry_run=True)
            ]
        except DryRunError:  # no network: what is in the cache
            listed = [each.name for each in folder.iterdir()]
        files = chosen_sets(listed, weights, f"{name} on the hub")[0]
        snapshot_download(name, revision=commit, allow_patterns=[*_shards(files, listed)])
    except GatedRepoError as error:
        raise FileNotFoundError(
            f"{name} is gated. Accept its licence at https://huggingface.co/{name}, and log in "
            "with `hf auth login` or set HF_TOKEN."
        ) from error
    except RepositoryNotFoundError as error:
        raise FileNotFoundError(
            f"The hub has no model {name!r}, or it is private. Check the name, or log in with "
            "`hf auth login`."
        ) from error
    except Exception as error:  # connection, proxy and server errors come in many classes
        if isinstance(error, ValueError) or error.__class__ is FileNotFoundError:
            raise
        raise FileNotFoundError(
            f"{name} is not a local folder, not wholly in the hub's cache, and cannot be "
            f"downloaded: {str(error).strip()}"
        ) from error
    return folder, files.name


def _shards(files: FileSet, listed: list[str]) -> list[str]:
    """Return the files of a set; shards have an index beside them."""
    return [name for name in (files.index, *files.files) if name in listed]
