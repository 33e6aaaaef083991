#include "journal/store/postgres_statement.h"

#include <cstdlib>

#include "base/check.h"

namespace throng::journal {

ColumnType PostgresStatement::Type(int column) const {
  if (PQgetisnull(rows_.get(), row_, column) != 0) return ColumnType::kNull;
  switch (TypeId(column)) {
    case Types::kInt8:
    case Types::kInt4:
    case Types::kInt2:
    case Types::kBool:
      return ColumnType::kInt;
    case Types::kNumeric:  // of sums
      return Raw(column).find('.') == std::string_view::npos ? ColumnType::kInt : ColumnType::kDouble;
    case Types::kFloat8:
    case Types::kFloat4:
      return ColumnType::kDouble;
    case Types::kBytea:
      return ColumnType::kBlob;
    case Types::kJson:
      return AnyFromJson(Raw(column)).type;
    default:
      return ColumnType::kText;
  }
}

// Raw values are followed by a zero.
int64_t PostgresStatement::Int(int column) const {
  if (TypeId(column) == Types::kBool) return Raw(column) == "t" ? 1 : 0;
  return std::strtoll(Raw(column).data(), nullptr, 10);
}

double PostgresStatement::Double(int column) const { return std::strtod(Raw(column).data(), nullptr); }

std::string PostgresStatement::Text(int column) const {
  switch (Type(column)) {
    case ColumnType::kNull:
      return {};
    case ColumnType::kInt:
      return std::to_string(Int(column));
    case ColumnType::kDouble:
      return DoubleText(Double(column));
    case ColumnType::kBlob:
      return Bytes(column);
    case ColumnType::kText:
      return TypeId(column) == Types::kJson ? AnyFromJson(Raw(column)).bytes : UnescapeText(Raw(column));
  }
  THRONG_CHECK(false);
}

}  // namespace throng::journal
