"""What travels beside dex's records."""

import orjson

from dexcore.oauth2.extras import NO_EXTRAS, Extras
from dexcore.oauth2.ids import is_id, is_supplemented, new_id

ALL = Extras(
    response_mode="form_post",
    claims={"id_token": {"acr": {"values": ["a", "b"]}}},
    acr_values=("a", "b"),
    ui_locales=("de-CH", "de"),
    resources=("https://api.example.com",),
    dpop_jkt="thumbprint",
    acr="a",
    amr=("pwd",),
    user={"address": {"country": "DE"}},
    subject="jane",
)


def test_nothing_is_packed_as_nothing():
    assert NO_EXTRAS.pack() == {}
    assert Extras.unpack({}) == NO_EXTRAS


def test_everything_survives_json():
    assert Extras.unpack(orjson.loads(orjson.dumps(ALL.pack()))) == ALL


def test_what_a_later_version_packs_is_left_out():
    assert Extras.unpack({"acr": "a", "unheard_of": 1}) == Extras(acr="a")


def test_what_the_response_has_used_up_does_not_last():
    assert ALL.lasting == Extras(
        claims=ALL.claims,
        resources=ALL.resources,
        dpop_jkt=ALL.dpop_jkt,
        acr=ALL.acr,
        amr=ALL.amr,
        user=ALL.user,
        subject=ALL.subject,
    )
    assert Extras(response_mode="query", ui_locales=("de",)).lasting == NO_EXTRAS


def test_an_id_says_whether_there_is_a_supplement():
    assert is_supplemented(new_id(supplemented=True))
    assert is_id(new_id(supplemented=True))
    assert not is_supplemented(new_id())
    assert not is_supplemented("a1")
    assert not is_supplemented("")
