#include "journal/store/sqlite.h"

#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <filesystem>

#include "base/error.h"

namespace throng::journal {

namespace {

constexpr int kDigestBytes = 16;
constexpr int kBusyMillis = 5000;  // readers may delay a checkpoint for a moment

// The operating system's message, for errors that SQLite has no specific code for.
[[noreturn]] void FailFromSystem(const std::string& path, int code, int error) {
  switch (error) {
    case ENOSPC:
    case EDQUOT:
      throw MakeError(ErrorCode::kExhausted, "journal {}: the disk is full", path);
    case EFBIG:
      throw MakeError(ErrorCode::kExhausted, "journal {}: the file may not grow further (ulimit -f)", path);
    case EROFS:
      throw MakeError(ErrorCode::kIo, "journal {}: the disk is read-only", path);
    default:
      break;
  }
  if (code == SQLITE_IOERR_WRITE) {  // by now the reason may be lost
    throw MakeError(ErrorCode::kIo,
                    "journal {}: it cannot be written: the disk is full or failing, or the file may not grow "
                    "further (ulimit -f)",
                    path);
  }
  throw MakeError(ErrorCode::kIo, "journal {}: {}{}{}", path, sqlite3_errstr(code), error ? ": " : "",
                  error ? std::strerror(error) : "");
}

// SQLite's name of a file, so that a path may hold any character.
std::string UriOf(const std::string& path) {
  std::string uri = "file:";
  for (const char c : path) {
    if (c == '?' || c == '#' || c == '%') {
      uri += fmt::format("%{:02x}", static_cast<unsigned>(c));
    } else {
      uri += c;
    }
  }
  return uri;
}

}  // namespace

// Reading a database in WAL mode creates files beside it, unless the database is declared immutable.
std::string ReadOnlyUri(const std::string& path) {
  const std::filesystem::path folder = std::filesystem::path(path).parent_path();
  const bool writable = access(folder.empty() ? "." : folder.c_str(), W_OK) == 0;
  const bool immutable = !writable && access((path + "-wal").c_str(), F_OK) != 0;
  return UriOf(path) + (immutable ? "?immutable=1" : "?mode=ro");
}

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

Statement& Statement::BindBytes(std::string_view bytes) {
  Check(sqlite3_bind_blob64(statement_.get(), ++bound_, bytes.data() == nullptr ? "" : bytes.data(),
                            bytes.size(), SQLITE_TRANSIENT));
  return *this;
}

Statement& Statement::BindNull() {
  Check(sqlite3_bind_null(statement_.get(), ++bound_));
  return *this;
}

Statement& Statement::BindFrom(const Statement& row, int column) {
  Check(sqlite3_bind_value(statement_.get(), ++bound_, sqlite3_column_value(row.statement_.get(), column)));
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
  sqlite3_reset(statement_.get());  // its result repeats the last step's error, which was thrown there
  bound_ = 0;
}

void Statement::Run() {
  while (Step()) {
  }
}

int Statement::NumColumns() const { return sqlite3_column_count(statement_.get()); }
std::string Statement::ColumnName(int column) const { return sqlite3_column_name(statement_.get(), column); }
bool Statement::IsInt(int column) const {
  return sqlite3_column_type(statement_.get(), column) == SQLITE_INTEGER;
}
bool Statement::IsDouble(int column) const {
  return sqlite3_column_type(statement_.get(), column) == SQLITE_FLOAT;
}
bool Statement::IsBlob(int column) const {
  return sqlite3_column_type(statement_.get(), column) == SQLITE_BLOB;
}
bool Statement::IsNull(int column) const {
  return sqlite3_column_type(statement_.get(), column) == SQLITE_NULL;
}
int64_t Statement::Int(int column) const { return sqlite3_column_int64(statement_.get(), column); }
double Statement::Double(int column) const { return sqlite3_column_double(statement_.get(), column); }

std::string Statement::Text(int column) const {
  const unsigned char* text = sqlite3_column_text(statement_.get(), column);
  if (text == nullptr) return {};
  return {reinterpret_cast<const char*>(text),
          static_cast<size_t>(sqlite3_column_bytes(statement_.get(), column))};
}

std::string Statement::Bytes(int column) const {
  const void* bytes = sqlite3_column_blob(statement_.get(), column);
  if (bytes == nullptr) return {};
  return {static_cast<const char*>(bytes),
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
  const int flags = (read_only ? SQLITE_OPEN_READONLY : SQLITE_OPEN_READWRITE) | SQLITE_OPEN_URI;
  const std::string uri = read_only ? ReadOnlyUri(path) : UriOf(path);
  const int code = sqlite3_open_v2(uri.c_str(), &raw, flags, nullptr);
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
      FailFromSystem(path_, code, sqlite3_system_errno(handle_.get()));
  }
}

}  // namespace throng::journal
