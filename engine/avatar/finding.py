"""Getting an avatar's packs for the commands that look at one avatar."""

from collections.abc import Callable

from engine.avatar import spec as specs
from engine.avatar.compiling import Compiler
from engine.avatar.pack import Pack
from engine.avatar.spec import AvatarSpec
from engine.errors import AvatarNotFound
from engine.settings import AvatarSettings


def find_spec(avatar_id: str, settings: AvatarSettings) -> AvatarSpec:
    """Return what an avatar is made of.

    Args:
        avatar_id: Name of its folder in ``avatars.folder``.
        settings: The ``avatars`` section.

    Raises:
        AvatarNotFound: There is no such folder, or no clips in it.
        AvatarError: Its description is wrong.
    """
    folder = settings.folder
    known = sorted(path.name for path in folder.iterdir()) if folder.is_dir() else []
    # Only names that are listed are used, so that none leads out of the folder.
    path = folder / avatar_id
    spec = specs.read_folder(path, settings) if avatar_id in known and path.is_dir() else None
    if spec is None:
        raise AvatarNotFound(
            f"There is no avatar {avatar_id!r} in {folder}.",
            f"There are: {', '.join(known) or 'none'}.",
        )
    return spec


async def compiled_pair(
    spec: AvatarSpec, compiler: Compiler, on_progress: Callable[[float], None]
) -> tuple[Pack, Pack]:
    """Return an avatar's packs with a motion graph and without, compiled where they are not yet.

    Args:
        spec: The avatar.
        compiler: Finds them in its cache, or makes them.
        on_progress: Takes how much is done, from 0 to 1.

    Raises:
        AvatarServerError: One cannot be made.
    """
    plain = await compiler.plain(spec, lambda done: on_progress(0.2 * done))
    graph = await compiler.graph(spec, lambda done: on_progress(0.2 + 0.8 * done))
    on_progress(1.0)
    return graph, plain
