"""Write the certificate of a conversion: what came from where, what was assumed, what looks wrong."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace

from transfer.backbones.building import stage_of_tensors
from transfer.checkpoints.certificate.assumptions import assumptions_of, resizing_of
from transfer.checkpoints.certificate.probe import Verdict
from transfer.checkpoints.identification.filling import Filled
from transfer.checkpoints.keys.contents import Contents
from transfer.checkpoints.keys.family import Plan
from transfer.checkpoints.keys.matching import Matched, filled_share
from transfer.schemas.checkpoint import BackboneSpec, Certificate, InputContract


def certify(
    contents: Contents, filled: Filled, health: Mapping[str, str], verdict: Verdict, sha256: str
) -> Certificate:
    """Return the certificate of one conversion; `sha256` is the file's."""
    plan, matched = filled.plan, filled.matched
    reason = f"another part of the file: {plan.which} was chosen"
    used = plan.state_dict.parts or (plan.state_dict.path,)
    others = (path for path in contents.state_dicts if not any(f"{path}.".startswith(f"{part}.") for part in used))
    contract = _complete(plan.input, filled.spec)
    return Certificate(
        family=filled.family,
        arch=filled.spec.arch,
        which=plan.which,
        coverage=matched.coverage,
        input=contract,
        dropped={**filled.renamed.dropped, **{path or "(root)": reason for path in others}},
        initialised=matched.initialised,
        resized=resizing_of(filled.spec, filled.renamed.shapes),
        warnings=(
            *contents.warnings,
            *plan.warnings,
            *unused_weights(contents, plan),
            *matched.warnings,
            *_alarms(health, verdict),
        ),
        backbone=filled.spec,
        checkpoint=contents.raw.path.name,
        sha256=sha256,
        stages=coverage_by_stage(matched, stage_of_tensors(filled.outline)),
        assumptions=assumptions_of(filled.spec),
        health=health,
        confidence=_confidence(contract, verdict),
        probe={"verdict": verdict.text, "divergences": verdict.divergences},
    )


MOST = 0.8
"""Share of the chosen network's names that makes a state dict look like other weights of the same network."""

UNUSED = (
    "`{path}` holds {count} of the {all} names of `{chosen}`, after `{prefix}`, and is none of the weights that "
    "{which} was chosen from: was it to be used, under names that training did not write?"
)


def unused_weights(contents: Contents, plan: Plan) -> tuple[str, ...]:
    """Warn of state dicts that look like the chosen network's, but that the family does not know as such."""
    known = {id(plan.state_dict.tensors), *(id(other.state_dict.tensors) for other in plan.other_weights.values())}
    names = set(plan.state_dict.tensors)
    # the longest name is the least likely to end another network's names by chance: what precedes it is the prefix
    longest = max(names, key=len)
    warnings = []
    for path, state_dict in contents.state_dicts.items():
        prefix = next((name.removesuffix(longest) for name in state_dict.tensors if name.endswith(longest)), None)
        if prefix is None or id(state_dict.tensors) in known:
            continue
        count = sum(f"{prefix}{name}" in state_dict.tensors for name in names)
        if count >= MOST * len(names):
            said = {"path": path, "count": count, "all": len(names), "chosen": plan.state_dict.path, "prefix": prefix}
            warnings.append(UNUSED.format(**said, which=plan.which))
    return tuple(warnings)


SHOWN = 5


def _alarms(health: Mapping[str, str], verdict: Verdict) -> Iterator[str]:
    """Yield a warning for everything wrong with the values; of many tensors only for the first few."""
    for name, text in list(health.items())[:SHOWN]:
        yield text if name == "*" else f"{name} {text}"
    if len(health) > SHOWN:
        yield f"{len(health) - SHOWN} more tensors look wrong: see `health` in the certificate"
    if verdict.wrong:
        yield verdict.text


SAYS = {"file": "the file says so", "user": "the user says so"}


def _confidence(contract: InputContract, verdict: Verdict) -> str:
    """Say in one phrase how sure the contract is."""
    said = SAYS.get(contract.source, "the family's default")
    if verdict.wrong:
        return f"low: {said}, but batch norms contradict"
    if verdict.divergences and verdict.text.startswith("agrees"):
        return f"high: {said}, and batch norms agree"
    return f"high: {said}" if contract.source in SAYS else f"medium: {said}"


def coverage_by_stage(matched: Matched, stages: Mapping[str, str]) -> dict[str, float]:
    """Return stage → share of its elements that the file fills, 0 to 1; stages without tensors are left out."""
    result = {}
    for stage in sorted(set(stages.values()), key=lambda name: (name == "beside", name != "stem", name)):
        elements = {name: n for name, n in matched.elements.items() if stages.get(name) == stage}
        if sum(elements.values()):
            result[stage] = filled_share(elements, elements.keys() & matched.sources.keys())
    return result


def _complete(contract: InputContract, spec: BackboneSpec) -> InputContract:
    image = spec.options.get("image")
    return replace(contract, size=(image[0], image[1]) if image else None, patch=spec.options.get("patch"))
