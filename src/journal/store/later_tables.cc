#include "journal/store/later_tables.h"

#include <fmt/format.h>

#include "journal/store/schema.h"

namespace throng::journal {

void AddLaterTables(Database& database, const char* schema, bool only_for_connection) {
  const std::string known =
      database.TextOf(fmt::format("SELECT 1 FROM {}.sqlite_master WHERE name = 'memories'", schema).c_str());
  if (!known.empty()) return;
  database.Execute(fmt::format(kLaterTables, only_for_connection ? "TEMP" : "").c_str());
}

}  // namespace throng::journal
