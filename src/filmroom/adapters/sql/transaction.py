"""One unit of work: every protocol of the catalog on the same connection."""

from sqlalchemy import Connection

from filmroom.adapters.sql.access import SqlAccess, SqlQuestions
from filmroom.adapters.sql.columnar import SqlColumnar
from filmroom.adapters.sql.custody import SqlCustody
from filmroom.adapters.sql.facts import SqlFacts
from filmroom.adapters.sql.files import SqlFiles
from filmroom.adapters.sql.front_door import SqlBatches, SqlCases, SqlDataKeys
from filmroom.adapters.sql.instances import SqlInstances
from filmroom.adapters.sql.log import SqlLog
from filmroom.adapters.sql.quality import SqlQuality
from filmroom.adapters.sql.research import SqlCopies, SqlLabels, SqlProjects
from filmroom.adapters.sql.snapshots import SqlCohorts, SqlModels, SqlShardsets, SqlSnapshots
from filmroom.adapters.sql.wholeness import SqlWholeness


class SqlTransaction:
    """The `Transaction` of `ports.py`. Ends with the block that opened it; what it streams ends with it."""

    def __init__(self, connection: Connection) -> None:
        self.keys = SqlDataKeys(connection)
        self.batches = SqlBatches(connection)
        self.cases = SqlCases(connection)
        self.instances = SqlInstances(connection)
        self.wholeness = SqlWholeness(connection)
        self.quality = SqlQuality(connection)
        self.columnar = SqlColumnar(connection)
        self.files = SqlFiles(connection)
        self.custody = SqlCustody(connection)
        self.projects = SqlProjects(connection)
        self.copies = SqlCopies(connection)
        self.labels = SqlLabels(connection)
        self.facts = SqlFacts(connection)
        self.cohorts = SqlCohorts(connection)
        self.snapshots = SqlSnapshots(connection)
        self.shardsets = SqlShardsets(connection)
        self.access = SqlAccess(connection)
        self.questions = SqlQuestions(connection)
        self.models = SqlModels(connection)
        self.log = SqlLog(connection)
