"""externalscaler.ExternalScaler: tells KEDA how much there is to do for some workers."""

import asyncio
from contextlib import suppress
from math import ceil

from protojobs.keda import externalscaler_pb2

from protojobs_service.application import Clock, Scaling, Work
from protojobs_service.domain.errors import InvalidField, JobsError
from protojobs_service.transport.call import Context
from protojobs_service.transport.interceptors import Drain
from protojobs_service.transport.scaler_trigger import Trigger, parse_trigger

METRIC = "protojobs-jobs"
"""KEDA tells the metrics of several triggers apart by itself."""
_LOOK = 1.0
_RESEND = 30.0


class ScalerServicer:
    """Answers from the numbers of the last second, so that it costs nothing how often and for how many it is asked."""

    def __init__(self, scaling: Scaling, clock: Clock, drain: Drain) -> None:
        self._scaling = scaling
        self._clock = clock
        self._drain = drain

    async def IsActive(  # noqa: N802
        self, request: externalscaler_pb2.ScaledObjectRef, _: Context
    ) -> externalscaler_pb2.IsActiveResponse:
        """Tell whether there should be a replica. Raises InvalidField, StoreUnavailable."""
        return externalscaler_pb2.IsActiveResponse(result=await self._is_active(parse_trigger(request.scalerMetadata)))

    async def StreamIsActive(self, request: externalscaler_pb2.ScaledObjectRef, context: Context) -> None:  # noqa: N802
        """Tell the same at once, a second after it changes and every 30 s; silent while the store is. Ends with OK at the drain.

        Raises InvalidField; StoreUnavailable where it cannot tell at once.
        """
        trigger = parse_trigger(request.scalerMetadata)
        stopped = asyncio.Event()
        with self._drain.calling(stopped.set):
            told, told_at = await self._is_active(trigger), self._clock.monotonic()
            await context.write(externalscaler_pb2.IsActiveResponse(result=told))
            while not await self._clock.wait(stopped, _LOOK):
                with suppress(JobsError):
                    active = await self._is_active(trigger)
                    if active != told or self._clock.monotonic() - told_at >= _RESEND:
                        told, told_at = active, self._clock.monotonic()
                        await context.write(externalscaler_pb2.IsActiveResponse(result=told))

    async def GetMetricSpec(  # noqa: N802
        self, request: externalscaler_pb2.ScaledObjectRef, _: Context
    ) -> externalscaler_pb2.GetMetricSpecResponse:
        """Tell the one metric, and how much of it a replica is to have. Raises InvalidField."""
        return _specs(parse_trigger(request.scalerMetadata))

    async def StreamMetricSpec(self, request: externalscaler_pb2.ScaledObjectRef, context: Context) -> None:  # noqa: N802
        """Tell the same at once; a trigger is what it is, so nothing follows. Ends with OK at the drain. Raises InvalidField."""
        stopped = asyncio.Event()
        with self._drain.calling(stopped.set):
            await context.write(_specs(parse_trigger(request.scalerMetadata)))
            await stopped.wait()

    async def GetMetrics(  # noqa: N802
        self, request: externalscaler_pb2.GetMetricsRequest, _: Context
    ) -> externalscaler_pb2.GetMetricsResponse:
        """Tell how many jobs count now. Raises InvalidField, StoreUnavailable."""
        trigger = parse_trigger(request.scaledObjectRef.scalerMetadata)
        if request.metricName != METRIC:
            raise InvalidField("metricName", f"must be {METRIC}")
        jobs = sum(await self._scaling.work(trigger.share))
        value = externalscaler_pb2.MetricValue(metricName=METRIC, metricValue=jobs, metricValueFloat=jobs)
        return externalscaler_pb2.GetMetricsResponse(metricValues=[value])

    async def _is_active(self, trigger: Trigger) -> bool:
        """While jobs run nothing may be scaled to zero, however few wait."""
        work: Work = await self._scaling.work(trigger.share)
        return work.running > 0 or work.waiting > trigger.backlog


def _specs(trigger: Trigger) -> externalscaler_pb2.GetMetricSpecResponse:
    spec = externalscaler_pb2.MetricSpec(metricName=METRIC, targetSize=ceil(trigger.target), targetSizeFloat=trigger.target)
    return externalscaler_pb2.GetMetricSpecResponse(metricSpecs=[spec])
