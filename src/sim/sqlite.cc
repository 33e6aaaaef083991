#include "sim/sqlite.h"

#include "base/error.h"

namespace throng::sim {

namespace {

constexpr int kDigestBytes = 16;
constexpr int kBusyMillis = 5000;  // readers may hold a checkpoint up for a moment

}  // namespace

Statement::Statement(Database& database, const char* sql)
    : database_(database), statement_(nullptr, sqlite3_finalize) {
  sqlite3_stmt* raw = nullptr;
  Check(sqlite3_prepare_v3(database.Handle(), sql, -1, SQLITE_PREPARE_PERSISTENT, &raw, nullptr));
  statement_.reset(raw);
}

void Statement::Check(int code) const {
  if (code != SQLITE_OK) database_.Fail(code);
}

Statement& Statement::Bind(int64_t value) {
  Check(sqlite3_bind_int64(statement_.get(), ++bound_, value));
  return *this;
}

Statement& Statement::Bind(double value) {
  Check(sqlite3_bind_double(statement_.get(), ++bound_, value));
  return *this;
}

Statement& Statement::Bind(std::string_view text) {
  Check(sqlite3_bind_text64(statement_.get(), ++bound_, text.data() == nullptr ? "" : text.data(),
                            text.size(), SQLITE_TRANSIENT, SQLITE_UTF8));
  return *this;
}

Statement& Statement::Bind(const Digest& digest) {
  unsigned char bytes[kDigestBytes];
  for (int i = 0; i < 8; ++i) {
    bytes[i] = static_cast<unsigned char>(digest.high >> (56 - 8 * i));
    bytes[8 + i] = static_cast<unsigned char>(digest.low >> (56 - 8 * i));
  }
  Check(sqlite3_bind_blob(statement_.get(), ++bound_, bytes, kDigestBytes, SQLITE_TRANSIENT));
  return *this;
}

bool Statement::Step() {
  const int code = sqlite3_step(statement_.get());
  if (code == SQLITE_ROW) return true;
  Reset();
  if (code != SQLITE_DONE) database_.Fail(code);
  return false;
}

void Statement::Reset() {
  sqlite3_reset(statement_.get());  // its result repeats the error of the last step, which was thrown there
  bound_ = 0;
}

void Statement::Run() {
  while (Step()) {
  }
}

int64_t Statement::Int(int column) const { return sqlite3_column_int64(statement_.get(), column); }
double Statement::Double(int column) const { return sqlite3_column_double(statement_.get(), column); }

std::string Statement::Text(int column) const {
  const unsigned char* text = sqlite3_column_text(statement_.get(), column);
  if (text == nullptr) return {};
  return {reinterpret_cast<const char*>(text),
          static_cast<size_t>(sqlite3_column_bytes(statement_.get(), column))};
}

Digest Statement::GetDigest(int column) const {
  const auto* bytes = static_cast<const unsigned char*>(sqlite3_column_blob(statement_.get(), column));
  if (bytes == nullptr || sqlite3_column_bytes(statement_.get(), column) != kDigestBytes) {
    database_.Fail(SQLITE_CORRUPT);
  }
  Digest digest;
  for (int i = 0; i < 8; ++i) {
    digest.high = digest.high << 8 | bytes[i];
    digest.low = digest.low << 8 | bytes[8 + i];
  }
  return digest;
}

Database::Database(const std::string& path, bool read_only)
    : path_(path), handle_(nullptr, sqlite3_close_v2) {
  sqlite3* raw = nullptr;
  const int code =
      sqlite3_open_v2(path.c_str(), &raw, read_only ? SQLITE_OPEN_READONLY : SQLITE_OPEN_READWRITE, nullptr);
  handle_.reset(raw);
  if (code != SQLITE_OK) Fail(code);
  sqlite3_extended_result_codes(raw, 1);
  sqlite3_busy_timeout(raw, kBusyMillis);
}

void Database::Execute(const char* sql) {
  const int code = sqlite3_exec(handle_.get(), sql, nullptr, nullptr, nullptr);
  if (code != SQLITE_OK) Fail(code);
}

std::string Database::TextOf(const char* sql) {
  Statement statement(*this, sql);
  std::string text;
  if (statement.Step()) text = statement.Text(0);
  return text;
}

void Database::Fail(int code) const {
  switch (code & 0xff) {
    case SQLITE_NOTADB:
      throw MakeError(ErrorCode::kCorrupt, "journal {}: the file is not a journal", path_);
    case SQLITE_CORRUPT:
      throw MakeError(ErrorCode::kCorrupt, "journal {}: the file is damaged", path_);
    case SQLITE_FULL:
      throw MakeError(ErrorCode::kExhausted, "journal {}: the disk is full", path_);
    case SQLITE_READONLY:
    case SQLITE_PERM:
    case SQLITE_CANTOPEN:
      throw MakeError(ErrorCode::kIo, "journal {}: the file or its folder cannot be written", path_);
    case SQLITE_BUSY:
    case SQLITE_LOCKED:
      throw MakeError(ErrorCode::kUnavailable, "journal {}: another program keeps it locked", path_);
    default:
      throw MakeError(ErrorCode::kIo, "journal {}: {}", path_, sqlite3_errstr(code));
  }
}

}  // namespace throng::sim
