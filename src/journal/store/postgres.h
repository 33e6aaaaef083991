// Journals in PostgreSQL 14 or later: each is a schema of a database, with the tables and views that a file
// has. One connection reads and writes.
#pragma once

#include <memory>

#include "journal/store/connection.h"
#include "journal/store/place.h"

namespace throng::journal {

std::unique_ptr<Connection> OpenPostgres(const PostgresPlace& place, Access access);
// Whether there is a schema of this name, journal or not.
bool ExistsInPostgres(const PostgresPlace& place);

}  // namespace throng::journal
