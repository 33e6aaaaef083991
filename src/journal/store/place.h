// Where a journal is: the path of a file, or the address of a schema in a PostgreSQL database,
//   postgres://[USER@]HOST[:PORT]/DATABASE?journal=NAME
// with any other option that PostgreSQL's own programs take in such an address, but no password: addresses
// are shown, kept in journals and seen by others of the same machine.
#pragma once

#include <string>

#include "base/error.h"

namespace throng::journal {

bool IsPostgres(const std::string& place);

// A path as seen from any folder; an address as it is.
std::string LastingPlace(const std::string& place);

struct PostgresPlace {
  std::string place;    // as it was given
  std::string address;  // for PostgreSQL's library: without the journal's name
  std::string name;     // of the schema
};
Error PasswordRefused();
// Throws kInvalid if no journal or no allowed name is named, or if there is a password.
PostgresPlace ParsePostgres(const std::string& place);

}  // namespace throng::journal
