"""Everything that can be checked before hours are spent on a data set."""

from __future__ import annotations

import hashlib
import json
import os
import warnings
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict
from functools import partial
from itertools import zip_longest
from pathlib import Path

from PIL import Image

from transfer.datasets.annotations import Annotations, read_annotations
from transfer.datasets.declaration import VOID
from transfer.datasets.images import ImageFacts, derived_map_facts, find_image, image_facts, label_map_facts
from transfer.datasets.layouts import Split
from transfer.datasets.manifest import Manifest
from transfer.datasets.memo import Memo, file_key
from transfer.datasets.problems import Problem, gather, raise_problems
from transfer.errors import BadOption, BrokenAnnotation, CorruptImage, MissingData
from transfer.progress import with_progress
from transfer.schemas.annotations import annotation_type

Read = Callable[[Path], ImageFacts]
Found = ImageFacts | Problem


def check_split(split: Split, annotations: str, cache: Path | None = None, fields: tuple[str, ...] = ()) -> Manifest:
    """Read every annotation of one type and open every image of `split`; the manifest says that nothing is wrong.

    `fields` are what entries must say besides. `cache` remembers files by path, size and modification time, so that a
    second call reads only what changed.
    Raises BrokenAnnotation (CorruptImage when only images are damaged) that lists all problems found in one pass.
    """
    field = annotation_type(annotations).field
    for path in (split.images, split.annotations):
        if not path.exists():
            raise MissingData(f"{path} does not exist. TRANSFER_DATA names the folder that holds the data sets.")
    memo = Memo(cache)
    try:
        return _check_label_maps(split, memo) if field is None else _check_coco(split, (field, *fields), memo)
    finally:
        memo.save()


def check_splits(
    train: Split, test: Split, annotations: str, cache: Path | None = None, fields: tuple[str, ...] = ()
) -> tuple[Manifest, Manifest]:
    """Check both splits, and raise what is wrong with either as one error.

    Raises as `check_split`; BrokenAnnotation too where a label would not mean the same in both.
    """
    in_train, in_test = gather(partial(check_split, split, annotations, cache, fields) for split in (train, test))
    if _labels(in_train) != _labels(in_test):
        pairs = zip(_labels(in_train), _labels(in_test), strict=False)
        raise BrokenAnnotation(
            f"{train.annotations} and {test.annotations} do not declare the same categories in the same order; "
            f"labels learned on one would be scored as others. First difference: "
            f"{next((pair for pair in pairs if pair[0] != pair[1]), 'their number')}."
        )
    return in_train, in_test


def also_in_train(train: Manifest, test: Manifest) -> list[str]:
    """Names of test images whose bytes are a training image's, too: a leak, though not a broken data set."""
    known = set(train.hashes.values())
    return sorted(name for name, sha256 in test.hashes.items() if sha256 in known)


def _labels(manifest: Manifest) -> list[tuple[str, int | None]]:
    """(name, category id) by label; label maps have no ids."""
    return list(zip_longest(manifest.classes, manifest.category_ids))


def _check_coco(split: Split, fields: tuple[str, ...], memo: Memo) -> Manifest:
    annotations, found_wrong = _annotations(split.annotations, fields, memo)
    problems = [*split.problems, *found_wrong]
    sizes = {name: (width, height) for name, width, height in annotations.images}
    found = inspect([split.images / name for name in sizes], image_facts, memo)
    for (name, size), fact in zip(sizes.items(), found, strict=True):
        problems += [fact] if isinstance(fact, Problem) else _size_problem(name, fact.size, size, "the json says")
    if not sizes and not problems:
        problems.append(Problem("no images are listed"))
    raise_problems(problems, split.annotations)
    hashes = {name: fact.sha256 for name, fact in zip(sizes, found, strict=True) if isinstance(fact, ImageFacts)}
    content = _content_hash(annotations.digest, hashes)
    return Manifest(len(sizes), content, annotations.classes, annotations.category_ids, annotations.counts, hashes)


def _check_label_maps(split: Split, memo: Memo) -> Manifest:
    if not split.classes:
        raise BadOption(f"the label maps in {split.annotations} need the class names of their values: Split.classes.")
    stems = stems_of(split)
    maps = inspect_maps(split, stems, memo)
    paths = [find_image(split.images, stem) for stem in stems]
    images = inspect(paths, image_facts, memo)
    problems = [*split.problems, *(fact for fact in (*maps, *images) if isinstance(fact, Problem))]
    for stem, label_map, image in zip(stems, maps, images, strict=True):
        if isinstance(label_map, ImageFacts):
            problems += _label_problem(stem, label_map.labels, split.classes)
            if isinstance(image, ImageFacts):
                problems += _size_problem(f"{stem}.png", label_map.size, image.size, "its image is")
    if not stems:
        problems.append(Problem("no label maps (*.png) are listed"))
    raise_problems(problems, split.annotations)
    hashes = {
        f"{folder}/{stem}": fact.sha256
        for folder, facts in (("images", images), ("maps", maps))
        for stem, fact in zip(stems, facts, strict=True)
        if isinstance(fact, ImageFacts)
    }
    contents = {
        path.name: fact.sha256 for path, fact in zip(paths, images, strict=True) if isinstance(fact, ImageFacts)
    }
    shown = Counter(label for facts in maps if isinstance(facts, ImageFacts) for label in facts.labels)
    counts = tuple(shown[label] for label in range(len(split.classes)))
    return Manifest(len(stems), _content_hash("", hashes, split.classes), split.classes, (), counts, contents)


def _annotations(path: Path, fields: tuple[str, ...], memo: Memo) -> tuple[Annotations, list[Problem]]:
    """The json's content, remembered only when it has no problems."""
    key = file_key(path, " ".join(fields))
    known = memo.get(key)
    if known is not None:
        images = tuple((name, width, height) for name, width, height in known["images"])
        classes, ids, counts = (tuple(known[key]) for key in ("classes", "category_ids", "counts"))
        return Annotations(classes, ids, images, known["digest"], counts), []
    annotations, problems = read_annotations(path, fields)
    if not problems:
        memo.add(key, asdict(annotations))
    return annotations, problems


def inspect_maps(split: Split, stems: Sequence[str], memo: Memo) -> list[Found]:
    """Facts or problem of each label map."""
    read = derived_map_facts if split.derived else label_map_facts
    return inspect([split.annotations / f"{stem}.png" for stem in stems], read, memo)


def inspect(paths: list[Path], read: Read, memo: Memo) -> list[Found]:
    """Facts or problem of each path, in order; threads, because reading and hashing release the interpreter."""
    work = partial(_facts, read=read, memo=memo)
    with warnings.catch_warnings(), ThreadPoolExecutor(min(16, 2 * (os.cpu_count() or 1))) as pool:
        warnings.simplefilter("ignore", Image.DecompressionBombWarning)  # large is not damaged
        return list(with_progress(pool.map(work, paths), "checking images", len(paths), "image"))


def _facts(path: Path, read: Read, memo: Memo) -> Found:
    try:
        key = file_key(path, read.__name__)
        known = memo.get(key)
        if known is not None:
            return ImageFacts.from_json(known)
        facts = read(path)
    except FileNotFoundError:
        return Problem(f"{path} is named by the annotations but does not exist", absent=True)
    except CorruptImage as error:
        return Problem(str(error), image=True)
    except OSError as error:
        return Problem(f"{path} cannot be read: {error.strerror}", image=True)
    memo.add(key, facts.to_json())
    return facts


def stems_of(split: Split) -> list[str]:
    """Stems of the label maps of a split, as listed. Raises BrokenAnnotation where one is listed twice."""
    if split.listing is None:
        return sorted(path.stem for path in split.annotations.glob("*.png"))
    stems = [line.strip() for line in split.listing.read_text(encoding="utf-8").splitlines() if line.strip()]
    repeated = {stem for stem in stems if stems.count(stem) > 1} if len(set(stems)) < len(stems) else set()
    if repeated:
        raise BrokenAnnotation(f"{split.listing} lists {', '.join(sorted(repeated)[:20])} more than once.")
    return stems


def _size_problem(name: str, found: tuple[int, int], expected: tuple[int, int], says: str) -> list[Problem]:
    if found == expected:
        return []
    return [Problem(f"{name} is {found[0]}x{found[1]} pixels, but {says} {expected[0]}x{expected[1]}")]


def _label_problem(stem: str, labels: Iterable[int], classes: tuple[str, ...]) -> list[Problem]:
    wrong = [label for label in labels if label != VOID and not 0 <= label < len(classes)]
    if not wrong:
        return []
    allowed = f"0 to {len(classes) - 1} ({len(classes)} classes) or {VOID} (ignored)"
    return [Problem(f"{stem}.png holds the values {', '.join(map(str, wrong))}; expected {allowed}")]


def _content_hash(digest: str, hashes: dict[str, str], classes: tuple[str, ...] = ()) -> str:
    text = json.dumps([digest, sorted(hashes.items()), classes], separators=(",", ":"), ensure_ascii=False)
    return hashlib.sha256(text.encode()).hexdigest()
