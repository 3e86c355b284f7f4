"""FastAPI: the Starlette endpoint in a router that stays out of the OpenAPI document."""

from __future__ import annotations

from typing import TYPE_CHECKING

from fastapi import APIRouter

from cronix_sdk.adapters.starlette import METHODS, endpoint, route_paths

if TYPE_CHECKING:
    from cronix_sdk.cron import Cron


def router(cron: Cron) -> APIRouter:
    """See `Cron.fastapi`."""
    api_router = APIRouter(include_in_schema=False)
    for path in route_paths(cron):
        api_router.add_route(path, endpoint(cron), methods=METHODS, include_in_schema=False)
    return api_router
