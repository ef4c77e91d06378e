"""Searchable sets of items on disk: a store keeps rows and vectors, a collection gives them their meaning."""

from sensorium.search.collection import Collection as Collection
from sensorium.search.collection import Hit as Hit
from sensorium.search.memory import Memory as Memory
from sensorium.search.store import Entry as Entry
from sensorium.search.store import Row as Row
from sensorium.search.store import Store as Store
