"""Names and phrases of the simulator's texts that become single tokens of a small policy. Rooms list them again and
again."""

PHRASES = (
    "This room is called the", "In it, you see:", "You also see:", "A door to the", "(that is open)",
    "(that is closed)", "the agent", "a substance called", "containing nothing", "which is turned off",
    "which is turned on", "which is deactivated", "which is activated", "which is off", "which is on",
    "door is closed.", "door is open.", "In your inventory, you see:", "You move to the", "You move the",
    "to the inventory.", "You focus on the", "is now open.", "is now activated.", "is now deactivated.",
    "is now connected to", "You decide to wait for", "The door is already open.",
    "currently reading a temperature of", "degrees celsius", "measures a temperature of",
    "No known action matches that input.", "in the reproducing stage", "in the adult stage",
    "in the seedling stage", "look around", "pick up", "focus on", "go to", "terminal 1", "terminal 2",
    "in inventory",
)  # fmt: skip
ROOMS = (
    "art studio", "bathroom", "bedroom", "foundry", "greenhouse", "hallway", "kitchen", "living room",
    "outside", "workshop",
)  # fmt: skip
THINGS = (
    "agent", "air", "apple tree", "axe", "banana", "bathtub", "battery", "bed", "bee hive", "black wire",
    "blast furnace", "blue box", "blue light bulb", "blue wire", "book shelf", "bowl", "ceramic cup", "chair",
    "closet", "couch", "counter", "cupboard", "desk", "drawer", "egg", "electric buzzer", "electric motor",
    "finger painting", "fire pit", "flower pot", "fountain", "freezer", "fridge", "gas generator",
    "glass cup", "glass jar", "green box", "green light bulb", "green wire", "ground", "jug",
    "large cupboard", "lighter", "metal pot", "nuclear generator", "orange box", "orange light bulb",
    "orange wire", "oven", "paint cupboard", "painting", "picture", "potato", "purple box", "red apple",
    "red box", "red light bulb", "red wire", "seed jar", "shovel", "sink", "soap", "sodium chloride", "soil",
    "solar panel", "steel table", "stopwatch", "stove", "switch", "table", "thermometer", "tin cup", "toilet",
    "ultra low temperature freezer", "unknown substance B", "violet light bulb", "water", "white pillow",
    "wind generator", "wood cup", "yellow box", "yellow light bulb", "yellow wire",
)  # fmt: skip
NAMES = (*PHRASES, *ROOMS, *THINGS)
