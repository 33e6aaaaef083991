#include "journal/store/database.h"

#include "base/check.h"
#include "journal/store/place.h"
#include "journal/store/postgres.h"
#include "journal/store/sqlite.h"

namespace throng::journal {

namespace {

constexpr int kDigestBytes = 16;

}  // namespace

Statement::Statement(Database& database, const char* sql)
    : database_(database), prepared_(database.GetConnection().Prepare(sql)) {}

Statement& Statement::Bind(int64_t value) {
  prepared_->BindInt(++bound_, value);
  return *this;
}

Statement& Statement::Bind(double value) {
  prepared_->BindDouble(++bound_, value);
  return *this;
}

Statement& Statement::Bind(std::string_view text) {
  prepared_->BindText(++bound_, text);
  return *this;
}

Statement& Statement::Bind(const Digest& digest) {
  char bytes[kDigestBytes];
  for (int i = 0; i < 8; ++i) {
    bytes[i] = static_cast<char>(digest.high >> (56 - 8 * i));
    bytes[8 + i] = static_cast<char>(digest.low >> (56 - 8 * i));
  }
  return BindBytes({bytes, kDigestBytes});
}

Statement& Statement::BindBytes(std::string_view bytes) {
  prepared_->BindBlob(++bound_, bytes);
  return *this;
}

Statement& Statement::BindNull() {
  prepared_->BindNull(++bound_);
  return *this;
}

Statement& Statement::BindFrom(const Statement& row, int column) {
  switch (row.prepared_->Type(column)) {
    case ColumnType::kNull:
      return BindNull();
    case ColumnType::kInt:
      return Bind(row.Int(column));
    case ColumnType::kDouble:
      return Bind(row.Double(column));
    case ColumnType::kText:
      return Bind(std::string_view(row.Text(column)));
    case ColumnType::kBlob:
      return BindBytes(row.Bytes(column));
  }
  THRONG_CHECK(false);
}

bool Statement::Step() {
  bound_ = 0;
  return prepared_->Step();
}

void Statement::Run() {
  bound_ = 0;
  prepared_->Run();
}

Digest Statement::GetDigest(int column) const {
  const std::string bytes = Bytes(column);
  if (bytes.size() != kDigestBytes) database_.GetConnection().FailCorrupt();
  Digest digest;
  for (size_t i = 0; i < 8; ++i) {
    digest.high = digest.high << 8 | static_cast<unsigned char>(bytes[i]);
    digest.low = digest.low << 8 | static_cast<unsigned char>(bytes[8 + i]);
  }
  return digest;
}

Database::Database(const std::string& place, Access access)
    : connection_(IsPostgres(place) ? OpenPostgres(ParsePostgres(place), access)
                                    : OpenSqlite(place, access)) {}

std::string Database::TextOf(const std::string& sql) {
  Statement statement(*this, sql.c_str());
  std::string text;
  if (statement.Step()) text = statement.Text(0);
  return text;
}

}  // namespace throng::journal
