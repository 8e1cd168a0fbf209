"""Photos that belong to a photo of the study though no picture is the same: one person, or one group of one list."""

import pandas as pd

from mpox.data.audited import audit_groups
from mpox.data.names import key

SAME_SUBJECT, SAME_GROUP = "same subject", "same group"


def relatives(photos: pd.DataFrame, study: pd.DataFrame, whole: pd.Series | None = None) -> pd.DataFrame:
    """Return the kept photos that belong to a kept one of the study: photo_id, other (its id there), reason.

    `same subject`: the source and the subject have the same names, however they are spelt. `same group`: one audit
    (`mpox.data.audited`) put both into one group, or `whole`, the groups (str, by photo_id) of a list that holds both,
    does. One row a photo, the first of these.
    """
    ours, theirs = (frame[frame["keep"]].set_index("photo_id") for frame in (photos, study))
    found = [_matched(_subjects(ours), _subjects(theirs), SAME_SUBJECT)]
    found.append(_matched(audit_groups(ours), audit_groups(theirs), SAME_GROUP))
    if whole is not None:
        in_list = [whole.reindex(frame.index).fillna("") for frame in (ours, theirs)]
        found.append(_matched(in_list[0], in_list[1], SAME_GROUP))
    return pd.concat(found).drop_duplicates("photo_id", ignore_index=True)


def group_mates(photos: pd.DataFrame, seen: pd.Series) -> pd.Series:
    """Return for each photo that shares a group with a seen one the study's photo that this one repeats (str).

    `seen` are photo ids of the study by photo_id of `photos`; photos without a seen mate are not in the result.
    """
    group = photos.set_index("photo_id")["group"]
    first = seen.groupby(group.loc[seen.index].to_numpy()).first()
    return group.map(first).dropna().drop(seen.index)


def _subjects(photos: pd.DataFrame) -> pd.Series:
    """Return source and subject of each photo as one comparable name; empty where the subject is unknown."""
    named = [
        f"{key(source)}/{key(subject)}" for source, subject in zip(photos["source"], photos["subject"], strict=True)
    ]
    return pd.Series(named, index=photos.index, dtype=object).where(photos["subject"] != "", "")


def _matched(ours: pd.Series, theirs: pd.Series, reason: str) -> pd.DataFrame:
    """Return photo_id, other and reason for each of ours whose name, where it has one, is among theirs."""
    known = theirs[theirs != ""].reset_index().set_axis(["other", "name"], axis=1).drop_duplicates("name")
    other = ours[ours != ""].map(known.set_index("name")["other"]).dropna()
    return pd.DataFrame({"photo_id": other.index, "other": other.to_numpy(), "reason": reason}, dtype=object)
