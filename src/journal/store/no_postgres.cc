// Instead of postgres.cc where there is no PostgreSQL library.

#include "base/error.h"
#include "journal/store/postgres.h"

namespace throng::journal {

namespace {

[[noreturn]] void Refuse(const PostgresPlace& place) {
  throw MakeError(ErrorCode::kUnsupported,
                  "journal {}: this program was built without PostgreSQL; install libpq-dev and build it "
                  "again, or give the path of a file",
                  place.place);
}

}  // namespace

std::unique_ptr<Connection> OpenPostgres(const PostgresPlace& place, Access) { Refuse(place); }
bool ExistsInPostgres(const PostgresPlace& place) { Refuse(place); }

}  // namespace throng::journal
