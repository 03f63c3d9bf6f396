"""Challenges: freshness for signers without a trusted clock."""

from typing import Annotated

from fastapi import APIRouter
from pydantic import BaseModel, Field

from api.authentication import Anyone
from api.parts import PartsDep
from api.responses import problems
from api.wire import UnixSeconds
from ceremony.challenges import VALID_SECONDS

router = APIRouter(prefix="/v1/challenges", tags=["challenges"])


class Challenge(BaseModel):
    """A challenge to put into a `request` or `login` statement."""

    challenge: Annotated[str, Field(examples=["AAAAAGtJ0gCbcVfVn5lqZ2mGv5X4Qm1D0n8rQ2cXyZk9LQ"])]
    server_time: UnixSeconds
    expires_in: Annotated[int, Field(description="Seconds.", examples=[VALID_SECONDS])]


@router.post("", summary="Get a challenge", responses=problems())
async def issue_challenge(_caller: Anyone, parts: PartsDep) -> Challenge:
    """Give a challenge, good for two minutes. Nothing is stored for it."""
    now = parts.now()
    return Challenge(
        challenge=parts.tokens.challenges.issue(now), server_time=now, expires_in=VALID_SECONDS
    )
