"""CPU seconds, user and system together, of all threads of a process."""

import resource
from collections.abc import Mapping

import psutil


def own_cpu_s() -> float:
    """Return what this process has used so far."""
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime


def cpu_s_of(pid: int) -> float:
    """Return what a process, its live children and those it has waited for have used, in the steps of /proc (10 ms)."""
    parent = psutil.Process(pid)
    times = parent.cpu_times()
    used = times.user + times.system + times.children_user + times.children_system
    for child in parent.children(recursive=True):
        try:
            times = child.cpu_times()
        except psutil.NoSuchProcess:
            continue
        used += times.user + times.system
    return float(used)


def per_1000_jobs(used: Mapping[str, float], jobs: int) -> dict[str, float]:
    """Return CPU seconds for a thousand jobs, by who used them, and of all."""
    each = {name: round(cpu_s * 1000 / max(jobs, 1), 4) for name, cpu_s in used.items()}
    return {**each, "all": round(sum(used.values()) * 1000 / max(jobs, 1), 4)}
