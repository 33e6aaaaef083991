#include "journal/store/postgres_dialect.h"

#include <fmt/format.h>

#include <cctype>
#include <cmath>
#include <cstdlib>
#include <nlohmann/json.hpp>
#include <utility>

#include "base/text/utf8.h"

namespace throng::journal {

namespace {

constexpr char32_t kFirstEscape = 0x10FF00;  // and the 255 after it: the last characters that there are

void Replace(std::string& text, std::string_view from, std::string_view to) {
  for (size_t at = text.find(from); at != std::string::npos; at = text.find(from, at + to.size())) {
    text.replace(at, from.size(), to);
  }
}

// In this order: a later one must not find what an earlier one has written. Texts are ordered by their bytes,
// as in SQLite, whatever the language of the database.
constexpr std::pair<std::string_view, std::string_view> kTypes[] = {
    {" WITHOUT ROWID", ""},           {"seed NOT NULL", "seed JSON NOT NULL"},
    {"value,\n", "value JSON,\n"},    {"INTEGER", "BIGINT"},
    {"REAL", "DOUBLE PRECISION"},     {"BLOB", "BYTEA"},
    {" TEXT", " TEXT COLLATE \"C\""},
};

bool IsReal(std::string_view number) { return number.find_first_of(".eE") != std::string_view::npos; }

int HexDigit(char c) { return c <= '9' ? c - '0' : c - 'a' + 10; }

}  // namespace

std::string PostgresParameters(std::string_view sql) {
  std::string text;
  int number = 0;
  bool is_quoted = false;
  for (size_t i = 0; i < sql.size(); ++i) {
    if (sql[i] == '\'') is_quoted = !is_quoted;
    if (sql[i] != '?' || is_quoted) {
      text += sql[i];
      continue;
    }
    text += '$';
    const bool is_numbered = i + 1 < sql.size() && std::isdigit(static_cast<unsigned char>(sql[i + 1])) != 0;
    if (!is_numbered) text += std::to_string(++number);
  }
  return text;
}

std::string PostgresManyRows(std::string_view sql, const std::vector<std::string>& types) {
  constexpr std::string_view kInsert = "INSERT INTO ";
  constexpr std::string_view kValues = " VALUES(";
  const size_t at = sql.find(kValues);
  if (!sql.starts_with(kInsert) || at == std::string_view::npos) return {};
  std::string parameters = "?";
  for (size_t i = 1; i < types.size(); ++i) parameters += ",?";
  const std::string_view table = sql.substr(kInsert.size(), at - kInsert.size());
  if (table.find_first_of("( ") != std::string_view::npos ||
      sql.substr(at + kValues.size()) != parameters + ")")
    return {};
  std::string columns;
  for (size_t i = 0; i < types.size(); ++i)
    columns += fmt::format("{}${}::{}[]", i > 0 ? "," : "", i + 1, types[i]);
  return fmt::format("INSERT INTO {} SELECT * FROM unnest({})", table, columns);
}

std::string PostgresArray(const std::vector<std::optional<std::string>>& elements) {
  std::string array = "{";
  for (const std::optional<std::string>& element : elements) {
    if (array.size() > 1) array += ',';
    if (!element) {
      array += "NULL";
      continue;
    }
    array += '"';
    for (const char c : *element) {
      if (c == '"' || c == '\\') array += '\\';
      array += c;
    }
    array += '"';
  }
  return array + "}";
}

std::string PostgresTypes(std::string sql) {
  for (const auto& [from, to] : kTypes) Replace(sql, from, to);
  return sql;
}

std::string PostgresFunctions(const std::string& schema) {
  return fmt::format(R"(
CREATE FUNCTION hex(bytes bytea) RETURNS text LANGUAGE sql IMMUTABLE STRICT
  AS 'SELECT upper(encode(bytes, ''hex''))';
CREATE FUNCTION instr(text, text) RETURNS integer LANGUAGE sql IMMUTABLE STRICT AS 'SELECT strpos($1, $2)';
CREATE FUNCTION typeof(value json) RETURNS text LANGUAGE sql IMMUTABLE STRICT
  AS 'SELECT CASE WHEN json_typeof(value) = ''string'' THEN ''text''
        WHEN value::text ~ ''[.eE]'' THEN ''real'' ELSE ''integer'' END';
CREATE FUNCTION json_each(list text) RETURNS TABLE(value bigint) LANGUAGE sql IMMUTABLE STRICT
  AS 'SELECT run::bigint FROM json_array_elements_text(list::json) AS run';
SET LOCAL check_function_bodies = off;
CREATE FUNCTION text_of(list text) RETURNS text LANGUAGE sql STABLE STRICT SET search_path = {}
  AS 'SELECT string_agg(p.text, '''' ORDER BY run.place, p.id)
      FROM json_array_elements_text(list::json) WITH ORDINALITY AS run(value, place)
      JOIN parts AS p ON p.id BETWEEN run.value::bigint / 64
        AND run.value::bigint / 64 + run.value::bigint % 64';
)",
                     schema);
}

std::string QuotedName(std::string_view name) {
  std::string quoted(name);
  Replace(quoted, "\"", "\"\"");
  return '"' + quoted + '"';
}

std::string EscapeText(std::string_view text) {
  std::string escaped;
  escaped.reserve(text.size());
  while (!text.empty()) {
    const Utf8Step step = NextUtf8(text);
    if (step.kind == Utf8Step::kValid && step.value != 0 && step.value < kFirstEscape) {
      escaped += text.substr(0, step.length);
    } else {
      for (const char byte : text.substr(0, step.length)) {
        AppendUtf8(kFirstEscape + static_cast<unsigned char>(byte), escaped);
      }
    }
    text.remove_prefix(step.length);
  }
  return escaped;
}

std::string UnescapeText(std::string_view text) {
  std::string plain;
  plain.reserve(text.size());
  while (!text.empty()) {
    const size_t at = std::min(text.find('\xF4'), text.size());  // how all of them begin
    plain += text.substr(0, at);
    text.remove_prefix(at);
    if (text.empty()) break;
    const Utf8Step step = NextUtf8(text);
    if (step.kind == Utf8Step::kValid && step.value >= kFirstEscape) {
      plain += static_cast<char>(step.value - kFirstEscape);
    } else {
      plain += text.substr(0, step.length);
    }
    text.remove_prefix(step.length);
  }
  return plain;
}

std::string DoubleText(double value) {
  std::string text = fmt::format("{}", value);
  if (std::isfinite(value) && !IsReal(text)) text += ".0";
  return text;
}

std::string AnyToJson(const SqlValue& value) {
  switch (value.type) {
    case ColumnType::kInt:
      return std::to_string(value.number);
    case ColumnType::kDouble:
      if (std::isinf(value.real)) return value.real < 0 ? "-1e999" : "1e999";
      return DoubleText(value.real);
    default:
      return nlohmann::json(EscapeText(value.bytes)).dump();
  }
}

SqlValue AnyFromJson(std::string_view json) {
  SqlValue value;
  if (json.starts_with('"')) {
    value.type = ColumnType::kText;
    value.bytes = UnescapeText(nlohmann::json::parse(json).get<std::string>());
  } else if (IsReal(json)) {
    value.type = ColumnType::kDouble;
    value.real = std::strtod(std::string(json).c_str(), nullptr);
  } else {
    value.type = ColumnType::kInt;
    value.number = std::strtoll(std::string(json).c_str(), nullptr, 10);
  }
  return value;
}

std::string BytesFromHex(std::string_view hex) {
  std::string bytes;
  bytes.reserve(hex.size() / 2);
  for (size_t i = 2; i + 1 < hex.size(); i += 2) {
    bytes += static_cast<char>(HexDigit(hex[i]) << 4 | HexDigit(hex[i + 1]));
  }
  return bytes;
}

std::string HexOfBytes(std::string_view bytes) {
  constexpr const char* kDigits = "0123456789abcdef";
  std::string hex = "\\x";
  for (const char byte : bytes) {
    hex += kDigits[static_cast<unsigned char>(byte) >> 4];
    hex += kDigits[static_cast<unsigned char>(byte) & 15];
  }
  return hex;
}

}  // namespace throng::journal
