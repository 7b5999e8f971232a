"""Who takes part, in the order in which the report names them."""

from bench.contestant import Contestant
from bench.ours import Fleet, OnSqlite
from bench.theirs import Bare, ByHand, Dbos, DbosFast, Taskiq

ALL: dict[str, type[Contestant]] = {
    one.name: one for one in (OnSqlite, Fleet, ByHand, Dbos, DbosFast, Taskiq, Bare)
}
