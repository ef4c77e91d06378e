"""Searchable sets of items: a store keeps rows and vectors, a collection gives them their meaning."""

from sensorium.search.collection import Collection as Collection
from sensorium.search.collection import Hit as Hit
from sensorium.search.memory import Memory as Memory
from sensorium.search.rows import Row as Row
from sensorium.search.store import Store as Store
from sensorium.search.where import parse as parse
