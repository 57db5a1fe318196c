"""The household's receptacles, objects and rooms, and what goes where: plain tables with look-ups. Type names are
spelled as in PDDL ("CounterTop"). The texts of a game have them in lower case, so every look-up by visible name goes
through `canonical`.
"""

from __future__ import annotations

from typing import Literal

Room = Literal["kitchen", "bathroom", "bedroom", "livingroom"]


def _names(text: str) -> frozenset[str]:
    return frozenset(text.split())


def _row(text: str) -> tuple[str, ...]:
    return tuple(text.split())


OPENABLE = _names("Cabinet Drawer Fridge Microwave Safe")
"""Receptacle types that start closed and must be opened before their contents are seen."""

CAN_CONTAIN: dict[str, frozenset[str]] = {
    receptacle: _names(objects)
    for receptacle, objects in {
        "ArmChair": "Book Box CellPhone Cloth CreditCard KeyChain Laptop Newspaper Pillow RemoteControl",
        "BathtubBasin": "Cloth DishSponge HandTowel SoapBar",
        "Bed": "BaseballBat BasketBall Book CellPhone Laptop Pillow TennisRacket",
        "Cabinet": "Book Bowl Box Candle CD Cloth Cup DishSponge Glassbottle HandTowel Kettle Ladle Mug"
        " Newspaper Pan PepperShaker Plate Plunger Pot SaltShaker SoapBar SoapBottle SprayBottle TissueBox"
        " ToiletPaper Vase WateringCan WineBottle",
        "Cart": "Candle Cloth DishSponge HandTowel Plunger SoapBar SoapBottle SprayBottle TissueBox ToiletPaper",
        "CoffeeMachine": "Mug",
        "CoffeeTable": "Book Bowl Box Candle CellPhone CreditCard KeyChain Laptop Newspaper Pen Pencil Plate"
        " RemoteControl Statue TissueBox Vase Watch WateringCan",
        "CounterTop": "AlarmClock Apple Book Bowl Bread ButterKnife Candle CD CellPhone Cloth CreditCard Cup"
        " DishSponge Egg Fork Glassbottle HandTowel Kettle KeyChain Knife Ladle Laptop Lettuce Mug Pan Pen"
        " Pencil PepperShaker Plate Pot Potato RemoteControl SaltShaker SoapBar SoapBottle Spatula Spoon"
        " SprayBottle Statue TissueBox ToiletPaper Tomato Vase WineBottle",
        "Desk": "AlarmClock BasketBall Book Bowl Box CD CellPhone Cloth CreditCard KeyChain Laptop Mug Pen"
        " Pencil RemoteControl Statue TennisRacket TissueBox Vase Watch WateringCan",
        "DiningTable": "AlarmClock Apple BaseballBat BasketBall Book Bowl Box Bread ButterKnife Candle CD"
        " CellPhone Cloth CreditCard Cup DishSponge Egg Fork Glassbottle Kettle KeyChain Knife Ladle Laptop"
        " Lettuce Mug Newspaper Pan Pen Pencil PepperShaker Plate Pot Potato RemoteControl SaltShaker"
        " SoapBottle Spatula Spoon SprayBottle Statue TennisRacket TissueBox Tomato Vase Watch WateringCan"
        " WineBottle",
        "Drawer": "Book ButterKnife Candle CD CellPhone Cloth CreditCard DishSponge Fork HandTowel KeyChain"
        " Knife Ladle Newspaper Pen Pencil PepperShaker RemoteControl SaltShaker SoapBar SoapBottle Spatula"
        " Spoon SprayBottle TissueBox ToiletPaper Watch WateringCan",
        "Dresser": "AlarmClock BasketBall Book Bowl Box Candle CD CellPhone Cloth CreditCard KeyChain Laptop"
        " Mug Newspaper Pen Pencil Plate RemoteControl SprayBottle Statue TennisRacket TissueBox ToiletPaper"
        " Vase Watch WateringCan",
        "Fridge": "Apple Bowl Bread Cup Egg Glassbottle Lettuce Mug Pan Plate Pot Potato Tomato WineBottle",
        "GarbageCan": "Apple Bread CD Cloth DishSponge Egg HandTowel Lettuce Newspaper Pen Pencil Potato"
        " SoapBar SoapBottle SprayBottle TissueBox ToiletPaper Tomato WineBottle",
        "HandTowelHolder": "HandTowel",
        "LaundryHamper": "Cloth",
        "Microwave": "Apple Bowl Bread Cup Egg Glassbottle Mug Plate Potato Tomato",
        "Ottoman": "Book Box CellPhone CreditCard KeyChain Laptop Newspaper Pillow RemoteControl",
        "Safe": "CD CellPhone CreditCard KeyChain Statue Vase",
        "Shelf": "AlarmClock Book Bowl Box Candle CD CellPhone Cloth CreditCard Cup DishSponge Glassbottle"
        " HandTowel Kettle KeyChain Mug Newspaper Pen Pencil PepperShaker Plate Pot RemoteControl SaltShaker"
        " SoapBar SoapBottle SprayBottle Statue TissueBox ToiletPaper Vase Watch WateringCan WineBottle",
        "SideTable": "AlarmClock Apple BaseballBat BasketBall Book Bowl Box Bread ButterKnife Candle CD"
        " CellPhone Cloth CreditCard Cup DishSponge Egg Fork HandTowel Kettle KeyChain Knife Laptop Lettuce"
        " Mug Newspaper Pan Pen Pencil PepperShaker Plate Pot Potato RemoteControl SaltShaker SoapBar"
        " SoapBottle Spatula Spoon SprayBottle Statue TennisRacket TissueBox ToiletPaper Tomato Vase Watch"
        " WateringCan WineBottle",
        "SinkBasin": "Apple Bowl ButterKnife Cloth Cup DishSponge Egg Fork Glassbottle HandTowel Kettle Knife"
        " Ladle Lettuce Mug Pan Plate Pot Potato SoapBar Spatula Spoon Tomato",
        "Sofa": "Book Box CellPhone CreditCard KeyChain Laptop Newspaper Pillow RemoteControl",
        "StoveBurner": "Kettle Pan Pot",
        "Toaster": "",
        "Toilet": "Candle Cloth DishSponge HandTowel SoapBar SoapBottle SprayBottle TissueBox ToiletPaper",
        "ToiletPaperHanger": "ToiletPaper",
        "TowelHolder": "Towel",
        "TVStand": "TissueBox",
    }.items()
}
"""Receptacle type -> object types that may be *put* there."""

PLACES: dict[str, tuple[str, ...]] = {
    thing: _row(places)
    for thing, places in {
        "AlarmClock": "Desk Shelf SideTable Dresser DiningTable",
        "Apple": "Fridge CounterTop DiningTable Microwave GarbageCan SinkBasin SideTable",
        "BaseballBat": "Bed",
        "BasketBall": "Bed Desk Dresser",
        "Book": "Bed Desk CounterTop Drawer Dresser CoffeeTable Sofa SideTable ArmChair DiningTable Shelf",
        "Bowl": "CounterTop Cabinet Fridge DiningTable Desk Shelf Microwave SinkBasin CoffeeTable Dresser",
        "Box": "DiningTable Sofa CoffeeTable SideTable Desk Shelf ArmChair Dresser",
        "Bread": "CounterTop DiningTable Fridge SideTable",
        "ButterKnife": "CounterTop DiningTable Drawer SinkBasin SideTable",
        "CD": "Drawer Desk Dresser SideTable Shelf GarbageCan DiningTable",
        "Candle": "Toilet CounterTop Cabinet Drawer Shelf SideTable CoffeeTable Cart DiningTable",
        "CellPhone": "Bed Desk Drawer Dresser SideTable CounterTop Shelf Sofa CoffeeTable ArmChair DiningTable",
        "Cloth": "BathtubBasin CounterTop Cabinet Drawer SinkBasin Shelf Toilet Cart",
        "CreditCard": "Desk Drawer Shelf SideTable Dresser Sofa ArmChair CoffeeTable CounterTop DiningTable",
        "Cup": "CounterTop Fridge Cabinet DiningTable SinkBasin Microwave Shelf SideTable",
        "DishSponge": "CounterTop Cabinet Drawer DiningTable SinkBasin GarbageCan BathtubBasin Shelf Toilet Cart",
        "Egg": "Fridge CounterTop SinkBasin GarbageCan Microwave DiningTable SideTable",
        "Fork": "CounterTop DiningTable Drawer SinkBasin SideTable",
        "Glassbottle": "CounterTop Cabinet DiningTable SinkBasin Fridge Shelf",
        "HandTowel": "HandTowelHolder CounterTop Toilet",
        "Kettle": "StoveBurner CounterTop Cabinet DiningTable",
        "KeyChain": "Desk Drawer SideTable Shelf Dresser CoffeeTable Sofa Safe ArmChair DiningTable TVStand",
        "Knife": "CounterTop DiningTable Drawer SinkBasin SideTable",
        "Ladle": "CounterTop Cabinet Drawer DiningTable",
        "Laptop": "Bed Desk Sofa CoffeeTable DiningTable Dresser SideTable ArmChair Ottoman",
        "Lettuce": "CounterTop DiningTable Fridge SinkBasin SideTable",
        "Mug": "CounterTop CoffeeMachine Cabinet Fridge DiningTable Microwave SinkBasin Desk Shelf SideTable"
        " Dresser",
        "Newspaper": "Sofa CoffeeTable DiningTable SideTable ArmChair Shelf Dresser",
        "Pan": "StoveBurner CounterTop Cabinet DiningTable Fridge",
        "Pen": "Desk Drawer Shelf Dresser SideTable DiningTable CoffeeTable CounterTop GarbageCan",
        "Pencil": "Desk Drawer SideTable Shelf Dresser DiningTable CoffeeTable GarbageCan CounterTop",
        "PepperShaker": "CounterTop Cabinet DiningTable Drawer Shelf SideTable",
        "Pillow": "Bed Sofa ArmChair",
        "Plate": "CounterTop Cabinet DiningTable Fridge SinkBasin CoffeeTable Shelf SideTable",
        "Pot": "StoveBurner CounterTop DiningTable Fridge Cabinet",
        "Potato": "CounterTop Fridge DiningTable Microwave SinkBasin GarbageCan SideTable",
        "RemoteControl": "CoffeeTable Sofa ArmChair SideTable DiningTable Drawer Dresser Desk TVStand",
        "SaltShaker": "CounterTop Cabinet DiningTable Drawer Shelf SideTable",
        "SoapBar": "CounterTop Toilet SinkBasin Cabinet Drawer BathtubBasin GarbageCan Shelf",
        "SoapBottle": "CounterTop Cabinet DiningTable Toilet GarbageCan Shelf Drawer Cart",
        "Spatula": "CounterTop DiningTable Drawer SinkBasin",
        "Spoon": "CounterTop Drawer DiningTable SinkBasin SideTable",
        "SprayBottle": "CounterTop Toilet Cabinet GarbageCan Shelf Cart",
        "Statue": "CoffeeTable Shelf DiningTable SideTable TVStand CounterTop Dresser Desk",
        "TennisRacket": "Bed Desk Dresser",
        "TissueBox": "CounterTop CoffeeTable Shelf Drawer SideTable DiningTable Desk Cart",
        "ToiletPaper": "Toilet CounterTop ToiletPaperHanger Drawer Cabinet GarbageCan Shelf",
        "Tomato": "Fridge CounterTop DiningTable GarbageCan SinkBasin SideTable Microwave",
        "Towel": "TowelHolder",
        "Vase": "Shelf CoffeeTable DiningTable CounterTop Cabinet SideTable Dresser TVStand",
        "Watch": "Drawer CoffeeTable SideTable Shelf Dresser DiningTable TVStand Desk",
        "WateringCan": "CoffeeTable Shelf",
        "WineBottle": "CounterTop Cabinet DiningTable GarbageCan Shelf Fridge",
        "DeskLamp": "Desk SideTable Dresser Shelf",
        "FloorLamp": "SideTable CoffeeTable",
    }.items()
}
"""Object type -> the receptacle types where it is found, likeliest first."""

LAMPS = frozenset({"DeskLamp", "FloorLamp"})
"""They can be toggled but not picked up. Everything else in PLACES can be picked up."""

CLEANABLE = _names(
    "Apple Bowl ButterKnife Cloth Cup DishSponge Egg Fork Kettle Knife Ladle Lettuce Mug Pan Plate Pot Potato"
    " SoapBar Spatula Spoon Tomato"
)
HEATABLE = _names("Apple Bread Cup Egg Mug Plate Potato Tomato")
COOLABLE = _names("Apple Bowl Bread Cup Egg Lettuce Mug Pan Plate Pot Potato Tomato WineBottle")
SLICEABLE = _names("Apple Bread Egg Lettuce Potato Tomato")
HOLLOW = _names("Bowl Box Cup Mug Pan Plate Pot")
"""Objects that are receptacles themselves; examining one in the hand lists what is in it."""

ROOMS: dict[Room, tuple[dict[str, int], dict[str, int]]] = {
    "kitchen": (
        {"Fridge": 1, "Microwave": 1, "SinkBasin": 1, "CounterTop": 1},
        {"Cabinet": 4, "Drawer": 3, "CounterTop": 2, "DiningTable": 1, "StoveBurner": 2, "GarbageCan": 1}
        | {"CoffeeMachine": 1, "Shelf": 2, "SideTable": 1, "Toaster": 1},
    ),
    "bathroom": (
        {"SinkBasin": 1, "Toilet": 1},
        {"Cabinet": 3, "CounterTop": 2, "Drawer": 3, "GarbageCan": 1, "HandTowelHolder": 1, "BathtubBasin": 1}
        | {"Shelf": 2, "ToiletPaperHanger": 1, "TowelHolder": 1, "Cart": 1},
    ),
    "bedroom": (
        {"Bed": 1, "Desk": 1},
        {"Drawer": 4, "Shelf": 3, "SideTable": 2, "Dresser": 1, "GarbageCan": 1, "ArmChair": 1, "Safe": 1}
        | {"LaundryHamper": 1},
    ),
    "livingroom": (
        {"Sofa": 1, "CoffeeTable": 1},
        {"Drawer": 3, "SideTable": 2, "ArmChair": 2, "Shelf": 3, "DiningTable": 1, "Dresser": 1, "TVStand": 1}
        | {"GarbageCan": 1, "Ottoman": 1},
    ),
}
"""Room -> (how many of each receptacle it always has, how many more it may have)."""

ROOM_OBJECTS: dict[Room, tuple[str, ...]] = {
    "kitchen": _row(
        "Apple Book Bowl Bread ButterKnife Cup DishSponge Egg Fork Glassbottle Kettle Knife Ladle"
        " Lettuce Mug Pan PepperShaker Plate Pot Potato SaltShaker SoapBottle Spatula Spoon SprayBottle Statue"
        " Tomato Vase WineBottle"
    ),
    "bathroom": _row(
        "Candle Cloth DishSponge HandTowel SoapBar SoapBottle SprayBottle TissueBox ToiletPaper Towel"
    ),
    "bedroom": _row(
        "AlarmClock BaseballBat BasketBall Book Bowl CD CellPhone CreditCard KeyChain Laptop Mug Pen"
        " Pencil Pillow RemoteControl Statue TennisRacket TissueBox Vase Watch"
    ),
    "livingroom": _row(
        "Book Box Candle CellPhone CreditCard KeyChain Laptop Newspaper Pen Pencil Pillow Plate"
        " RemoteControl Statue TissueBox Vase Watch WateringCan"
    ),
}
"""Room -> the object types that may lie there, without lamps."""

_BY_LOWER = {name.lower(): name for name in (*CAN_CONTAIN, *PLACES)}


def canonical(visible: str) -> str | None:
    """The PDDL spelling of a type name or entity name as a game's text shows it: "countertop 2" -> "CounterTop".
    None for an unknown type."""
    return _BY_LOWER.get(visible.rstrip("0123456789 ").lower())


def fits(visible_object: str, visible_receptacle: str) -> bool:
    """Whether such an object may be put there, by the visible names of both."""
    receptacle = canonical(visible_receptacle)
    return receptacle is not None and canonical(visible_object) in CAN_CONTAIN.get(receptacle, ())


def likely(visible_object: str, visible_receptacle: str) -> bool:
    """Whether such an object is commonly found there, by the visible names of both."""
    thing = canonical(visible_object)
    return thing is not None and canonical(visible_receptacle) in PLACES.get(thing, ())


def openable(visible_receptacle: str) -> bool:
    return canonical(visible_receptacle) in OPENABLE
