// What PostgreSQL says differently from SQLite: how a journal's SQL (schema.h) is told to it, and how values
// are.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "journal/store/connection.h"

namespace throng::journal {

// ? and ?1 as $1.
std::string PostgresParameters(std::string_view sql);
// The same as "INSERT INTO bodies VALUES(?,?)" for any number of rows, whose parameters are the columns:
// arrays of these types. Empty if the statement is not of this form.
std::string PostgresManyRows(std::string_view sql, const std::vector<std::string>& types);
// The value of such a parameter; nullopt: NULL.
std::string PostgresArray(const std::vector<std::optional<std::string>>& elements);
// The types in the definitions of tables and views.
std::string PostgresTypes(std::string sql);
// Functions that journals use of SQLite, and text_of, for the schema of this quoted name.
std::string PostgresFunctions(const std::string& schema);

std::string QuotedName(std::string_view name);

// PostgreSQL's texts are valid UTF-8 without the character 0; answers may be neither. A byte that cannot stay
// is written as a character of a private plane: U+10FF00 and so many more. Such characters themselves are
// written like that byte by byte, so every text comes back as it was.
std::string EscapeText(std::string_view text);
std::string UnescapeText(std::string_view text);

// A value of a parameter or a column.
struct SqlValue {
  ColumnType type = ColumnType::kNull;
  int64_t number = 0;
  double real = 0;
  std::string bytes;  // of a text or a blob
};

// In a column of values of any type, they are in JSON: 1, 1.0, 1e999 (infinity), "text".
std::string AnyToJson(const SqlValue& value);
SqlValue AnyFromJson(std::string_view json);

// As SQLite writes it: 1.0, not 1.
std::string DoubleText(double value);
std::string BytesFromHex(std::string_view hex);  // "\x01ff"
std::string HexOfBytes(std::string_view bytes);

}  // namespace throng::journal
