"""Names for people who do not exist: common first names, and surnames put together from two parts."""

from __future__ import annotations

_FIRST_NAMES = (
    "Ada Agnes Alfred Alice Amos Anton Arthur Astrid Basil Beatrice Benedict Bettina Boris Bridget Bruno Camille "
    "Carlo Cecil Clara Conrad Cora Cyril Dagmar Dario Delia Dennis Dora Edgar Edith Edmund Elena Elias Elsa Emil "
    "Enid Ernest Esther Eugene Eva Fabian Farid Felix Fiona Flora Frances Frieda Gareth Gemma Gilbert Gloria Greta "
    "Gustav Hanna Harold Hector Helga Henry Hilda Horace Hugo Ida Ignaz Ines Ingrid Irene Isaac Ivan Ivy Jasper "
    "Joan Jonas Josef Julia Karin Kaspar Katya Kurt Laura Leander Lena Leopold Lionel Lorenz Louisa Lucian Lydia "
    "Mabel Magnus Marcus Marina Martha Matilda Maurice Mildred Mira Morris Nadia Nathan Nestor Nina Nora Norman "
    "Olga Oscar Ottilie Otto Pablo Patrick Paula Percy Petra Philip Quentin Rafael Ramona Renata Robin Roland Rosa "
    "Rupert Ruth Salim Samuel Selma Silas Simon Sofia Stella Sylvia Tamara Thea Theodor Thomas Tilda Tobias Ulrich "
    "Ursula Valentin Vera Victor Viola Walter Wanda Wilfred Wilma Winifred Xaver Yasmin Yusuf Yvonne Zelda "
)
_BEGINNINGS = (
    "Alder Amber Apple Ashen Barley Beech Birch Black Bramble Briar Candle Cedar Cherry Clover Copper Cotton Crane "
    "Dapple Dunn Elder Elm Ever Fair Fallow Fern Flint Frost Gold Grey Hart Hazel Heather Hollow Holly Iron Ivory "
    "Juniper Kestrel Kettle Lark Linden Mallow Maple Marl Mistle Moss Nettle Oaken Otter Pebble Pepper Quill Raven "
    "Rush Saffron Salt Silver Sorrel Spring Stone Sunder Swan Tarn Thistle Umber Under Vinter Walnut Whistle Wild "
    "Willow Winter Wren Yarrow "
)
_ENDINGS = (
    "beck bourne bridge brook bury combe croft dale den fell field ford gate grove ham haven hurst leigh low mead "
    "mere moor more ridge shaw stead thorpe ton wade well wick wold wood worth "
)

FIRST_NAMES = tuple(_FIRST_NAMES.split())
SURNAMES = tuple(beginning + ending for beginning in _BEGINNINGS.split() for ending in _ENDINGS.split())
