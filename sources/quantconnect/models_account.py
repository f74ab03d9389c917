"""Account, organizations, versions of the engine, and what lies in the object store. Times are ms UTC, sizes bytes."""

from __future__ import annotations

from typing import Annotated

from sources.quantconnect.shapes import Also, Amount, Flag, Id, Many, Moment, Number, Shape, Text, Whole


class Card(Shape):
    """The card on file; `expiration` is mm/yy."""

    brand: Text = ""
    expiration: Text = ""
    last4: Text = ""


class Account(Shape):
    """The organization's money at the service, in QuantConnect credit."""

    organization_id: Text = ""
    credit_balance: Number = None
    card: Card | None = None


class Organization(Shape):
    """An organization; `preferred` is the one meant where none is named."""

    id: Annotated[Text, Also.of("organization id")]
    name: Text = ""
    type: Text = ""
    owner_name: Text = ""
    preferred: Flag = False


class LeanVersion(Shape):
    """A version of the engine."""

    id: Id
    created: Moment = None
    description: Text = ""
    lean_hash: Text = ""
    lean_cloud_hash: Text = ""
    name: Text = ""
    ref: Text = ""
    public: Flag = False


class LeanEnvironment(Shape):
    """A set of installed libraries."""

    id: Id
    name: Text = ""
    path: Text = ""
    description: Text = ""
    public: Flag = False


class ObjectEntry(Shape):
    """An object or a folder of the store."""

    key: Text
    name: Text = ""
    modified: Moment = None
    mime: Text = ""
    folder: Annotated[Flag, Also.of("is folder")] = False
    size: Amount = 0.0


class ObjectListing(Shape):
    """A folder of the store; folders in it are named, not opened."""

    path: Text = ""
    objects: Many[ObjectEntry]
    page: Whole = None
    total_pages: Whole = None
    object_storage_used: Amount = 0.0
    object_storage_used_human: Text = ""


class ObjectProperties(Shape):
    """What an object is; `preview` is the beginning of its text, which of a small one is the whole."""

    key: Text = ""
    modified: Moment = None
    created: Moment = None
    size: Whole = None
    md5: Text = ""
    mime: Text = ""
    preview: Text = ""

    @property
    def whole_preview(self) -> bool:
        """Whether the preview is the object."""
        return self.size is not None and len(self.preview.encode()) == self.size


class ObjectJob(Shape):
    """A request for objects; `url` is where they are, once it is there."""

    job_id: Text = ""
    url: Text = ""
