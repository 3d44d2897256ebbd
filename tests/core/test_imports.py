"""No two files of a package import each other, by any way: imports in functions and for types count as well."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import grimp
import pytest

PACKAGES = ("streamtasks_lua", "streamtasks", "streamtasks_workers", "streamtasks_django")


def knots(imports: Mapping[str, Iterable[str]]) -> list[set[str]]:
    """Return the strongly connected components of more than one module (Tarjan's algorithm, without recursion)."""
    index: dict[str, int] = {}
    low: dict[str, int] = {}
    stack: list[str] = []
    found: list[set[str]] = []
    for start in imports:
        if start in index:
            continue
        work = [(start, iter(imports[start]))]
        index[start] = low[start] = len(index)
        stack.append(start)
        while work:
            module, rest = work[-1]
            for other in rest:
                if other not in index:
                    index[other] = low[other] = len(index)
                    stack.append(other)
                    work.append((other, iter(imports[other])))
                    break
                if other in stack:
                    low[module] = min(low[module], index[other])
            else:
                work.pop()
                if work:
                    low[work[-1][0]] = min(low[work[-1][0]], low[module])
                if low[module] == index[module]:
                    place = stack.index(module)
                    found.append(set(stack[place:]))
                    del stack[place:]
    return [one for one in found if len(one) > 1]


@pytest.fixture(scope="module")
def imports() -> dict[str, set[str]]:
    graph = grimp.build_graph(*PACKAGES, exclude_type_checking_imports=False, cache_dir=None)
    return {module: graph.find_modules_directly_imported_by(module) for module in graph.modules}


@pytest.mark.parametrize("package", PACKAGES)
def test_no_two_files_import_each_other(imports: dict[str, set[str]], package: str) -> None:
    inside = {
        module: {other for other in others if other.partition(".")[0] == package}
        for module, others in imports.items()
        if module.partition(".")[0] == package
    }
    assert knots(inside) == []


def test_a_knot_is_found() -> None:
    assert knots({"a": ["b"], "b": ["c"], "c": ["b"], "d": ["a"]}) == [{"b", "c"}]
