import asyncio

import pytest

from counterpoint.errors import SetupError
from counterpoint.point_in_time import USER_FEATURES
from feature_repo import services
from feature_repo.online_reader import OnlineReader
from feature_repo.store import FeatureRepository
from tests.counterpoint import logs

USERS = [*logs.STRANGE_USERS, "nobody", logs.STRANGE_USERS[0]]


def test_it_reads_what_feast_reads(repository: FeatureRepository) -> None:
    reader = OnlineReader(repository.store, services.RECOMMENDER)
    service = repository.store.get_feature_service(services.RECOMMENDER)
    answer = repository.store.get_online_features(
        features=service, entity_rows=[{"user_id": user} for user in USERS]
    ).to_dict()
    assert sorted(reader.names) == sorted(USER_FEATURES)
    for user, row in zip(range(len(USERS)), asyncio.run(reader.read(USERS)), strict=True):
        values = row or [None] * len(reader.names)
        assert dict(zip(reader.names, values, strict=True)) == {
            name: answer[name][user] for name in reader.names
        }
    assert asyncio.run(reader.read(["nobody"])) == [None]


def test_a_part_is_what_the_whole_has_of_it(repository: FeatureRepository) -> None:
    reader = OnlineReader(repository.store, services.RECOMMENDER)
    whole = asyncio.run(reader.read(USERS))
    for names in (reader.names[::-1], reader.names[1:2], [reader.names[-1], reader.names[0]]):
        places = [reader.names.index(name) for name in names]
        wanted = [row and [row[place] for place in places] for row in whole]
        assert asyncio.run(reader.read(USERS, names)) == wanted


@pytest.mark.parametrize(
    ("service", "said"),
    [
        ("recommender_v9", "no service 'recommender_v9'; it has catalogue_v1"),
        (services.CATALOGUE, "view 'item_profile', which is not one of plain features of a user"),
    ],
)
def test_what_it_cannot_read_is_refused(
    repository: FeatureRepository, service: str, said: str
) -> None:
    with pytest.raises(SetupError, match=said):
        OnlineReader(repository.store, service)
