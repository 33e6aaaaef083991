// Tables and views that the format of journals got after files of it were in use.
#pragma once

#include "journal/store/connection.h"

namespace throng::journal {

// Adds those that the journal attached as `schema` lacks: to its file, or only for this connection.
void AddLaterTables(Connection& connection, const char* schema, bool only_for_connection);

}  // namespace throng::journal
