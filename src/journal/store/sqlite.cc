#include "journal/store/sqlite.h"

#include <fcntl.h>
#include <sqlite3.h>
#include <sys/file.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <filesystem>
#include <optional>

#include "base/error.h"
#include "journal/store/inbox.h"
#include "journal/store/schema.h"

namespace throng::journal {

namespace {

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

// Tells other processes that this one writes. SQLite's own locks are on other byte ranges of the same file
// and are lost when any descriptor of the file is closed, so this one is closed last.
struct FileLock {
  int fd = -1;
  std::optional<Inbox> inbox;

  FileLock(const std::string& path, bool create) {
    fd = open(path.c_str(), O_RDWR | O_CLOEXEC | (create ? O_CREAT | O_EXCL : 0), 0644);
    if (fd < 0 && errno == EEXIST) {
      throw MakeError(ErrorCode::kInvalid, "journal {}: it exists; resume it, or give another name", path);
    }
    if (fd < 0) throw MakeError(ErrorCode::kIo, "journal {}: {}", path, std::strerror(errno));
    if (flock(fd, LOCK_EX | LOCK_NB) != 0) {
      close(fd);
      throw MakeError(ErrorCode::kUnavailable, "journal {}: another running program writes it", path);
    }
    inbox.emplace(fd);
  }
  ~FileLock() { close(fd); }
};

// What the schema calls text_of(LIST), put together in the order of the list; CROSS JOIN keeps SQLite from
// choosing another order.
std::string ExpandTextOf(std::string sql) {
  constexpr std::string_view kCall = "text_of(";
  for (size_t at = sql.find(kCall); at != std::string::npos; at = sql.find(kCall, at)) {
    const size_t end = sql.find(')', at);
    const std::string list = sql.substr(at + kCall.size(), end - at - kCall.size());
    sql.replace(at, end + 1 - at,
                "(SELECT group_concat(p.text, '') FROM json_each(" + list +
                    ") AS run CROSS JOIN parts AS p ON p.id BETWEEN run.value / 64 AND run.value / 64 + "
                    "run.value % 64)");
  }
  return sql;
}

class SqliteConnection;

class SqliteStatement final : public Prepared {
 public:
  SqliteStatement(const SqliteConnection& connection, const std::string& sql);

  void BindInt(int at, int64_t value) override { Check(sqlite3_bind_int64(statement_.get(), at, value)); }
  void BindDouble(int at, double value) override { Check(sqlite3_bind_double(statement_.get(), at, value)); }
  void BindText(int at, std::string_view text) override {
    Check(sqlite3_bind_text64(statement_.get(), at, text.data() == nullptr ? "" : text.data(), text.size(),
                              SQLITE_TRANSIENT, SQLITE_UTF8));
  }
  void BindBlob(int at, std::string_view bytes) override {
    Check(sqlite3_bind_blob64(statement_.get(), at, bytes.data() == nullptr ? "" : bytes.data(), bytes.size(),
                              SQLITE_TRANSIENT));
  }
  void BindNull(int at) override { Check(sqlite3_bind_null(statement_.get(), at)); }

  bool Step() override;
  void Run() override {
    while (Step()) {
    }
  }

  int NumColumns() const override { return sqlite3_column_count(statement_.get()); }
  std::string ColumnName(int column) const override { return sqlite3_column_name(statement_.get(), column); }
  ColumnType Type(int column) const override;
  int64_t Int(int column) const override { return sqlite3_column_int64(statement_.get(), column); }
  double Double(int column) const override { return sqlite3_column_double(statement_.get(), column); }
  std::string Text(int column) const override {
    return StringAt(sqlite3_column_text(statement_.get(), column), column);
  }
  std::string Bytes(int column) const override {
    return StringAt(sqlite3_column_blob(statement_.get(), column), column);
  }

 private:
  void Check(int code) const;
  std::string StringAt(const void* bytes, int column) const {
    if (bytes == nullptr) return {};
    return {static_cast<const char*>(bytes),
            static_cast<size_t>(sqlite3_column_bytes(statement_.get(), column))};
  }

  const SqliteConnection& connection_;
  std::unique_ptr<sqlite3_stmt, int (*)(sqlite3_stmt*)> statement_;
};

class SqliteConnection final : public Connection {
 public:
  SqliteConnection(const std::string& path, Access access);
  ~SqliteConnection() override;

  std::unique_ptr<Prepared> Prepare(const std::string& sql) override {
    return std::make_unique<SqliteStatement>(*this, sql);
  }
  void Execute(const std::string& sql) override;
  void Define(const std::string& sql) override { Execute(ExpandTextOf(sql)); }
  void BeginTables() override { Execute("BEGIN"); }
  void Begin() override { Execute("BEGIN IMMEDIATE"); }
  void BeginReading() override { Execute("BEGIN"); }
  void Commit() override { Execute("COMMIT"); }
  void UseLog(bool sync_always) override;
  void SyncCommits(bool always) override;
  // The main file holds all of it from now on, even if it is copied without the log.
  void Checkpoint() override { Execute("PRAGMA wal_checkpoint(TRUNCATE)"); }
  void MarkFormat(int version) override {
    Execute(fmt::format("PRAGMA application_id={}; PRAGMA user_version={}", kApplicationId, version));
  }
  void CheckFormat(int version) override;
  bool HasTable(const std::string& schema, const std::string& name) override {
    return !TextOf(fmt::format("SELECT 1 FROM {}.sqlite_master WHERE name = '{}'", schema, name)).empty();
  }
  std::vector<std::string> Tables() override;
  int64_t Bytes() override {
    return std::stoll(TextOf("PRAGMA page_count")) * std::stoll(TextOf("PRAGMA page_size"));
  }
  void Remove() override { is_removed_ = true; }
  Inbox* GetInbox() override { return lock_ ? &*lock_->inbox : nullptr; }
  void SetPatience(Patience) override {}  // a file is there, or it is not
  [[noreturn]] void FailCorrupt() const override { Fail(SQLITE_CORRUPT); }

  sqlite3* Handle() const { return handle_.get(); }
  // Throws the Error that `code`, an SQLite result, means for this file.
  [[noreturn]] void Fail(int code) const;

 private:
  std::string TextOf(const std::string& sql) {
    SqliteStatement statement(*this, sql);
    return statement.Step() ? statement.Text(0) : std::string();
  }

  std::string path_;
  bool is_removed_ = false;
  std::optional<FileLock> lock_;  // taken before the file is opened, released after it is closed
  std::unique_ptr<sqlite3, int (*)(sqlite3*)> handle_;
};

SqliteStatement::SqliteStatement(const SqliteConnection& connection, const std::string& sql)
    : connection_(connection), statement_(nullptr, sqlite3_finalize) {
  sqlite3_stmt* raw = nullptr;
  Check(sqlite3_prepare_v3(connection.Handle(), sql.c_str(), -1, SQLITE_PREPARE_PERSISTENT, &raw, nullptr));
  statement_.reset(raw);
}

void SqliteStatement::Check(int code) const {
  if (code != SQLITE_OK) connection_.Fail(code);
}

bool SqliteStatement::Step() {
  const int code = sqlite3_step(statement_.get());
  if (code == SQLITE_ROW) return true;
  sqlite3_reset(statement_.get());  // its result repeats the step's error
  if (code != SQLITE_DONE) connection_.Fail(code);
  return false;
}

ColumnType SqliteStatement::Type(int column) const {
  switch (sqlite3_column_type(statement_.get(), column)) {
    case SQLITE_INTEGER:
      return ColumnType::kInt;
    case SQLITE_FLOAT:
      return ColumnType::kDouble;
    case SQLITE_BLOB:
      return ColumnType::kBlob;
    case SQLITE_NULL:
      return ColumnType::kNull;
    default:
      return ColumnType::kText;
  }
}

SqliteConnection::SqliteConnection(const std::string& path, Access access)
    : path_(path), handle_(nullptr, sqlite3_close_v2) {
  if (access == Access::kRead && ::access(path.c_str(), R_OK) != 0) {
    throw MakeError(ErrorCode::kIo, "journal {}: {}", path, std::strerror(errno));
  }
  if (access == Access::kWrite || access == Access::kCreate) lock_.emplace(path, access == Access::kCreate);
  const bool read_only = access == Access::kRead;
  sqlite3* raw = nullptr;
  const int flags = (read_only ? SQLITE_OPEN_READONLY : SQLITE_OPEN_READWRITE) | SQLITE_OPEN_URI;
  const std::string uri = read_only ? ReadOnlyUri(path) : UriOf(path);
  const int code = sqlite3_open_v2(uri.c_str(), &raw, flags, nullptr);
  handle_.reset(raw);
  if (code != SQLITE_OK) Fail(code);
  sqlite3_extended_result_codes(raw, 1);
  sqlite3_busy_timeout(raw, kBusyMillis);
}

SqliteConnection::~SqliteConnection() {
  handle_.reset();
  if (is_removed_) unlink(path_.c_str());
}

void SqliteConnection::Execute(const std::string& sql) {
  const int code = sqlite3_exec(handle_.get(), sql.c_str(), nullptr, nullptr, nullptr);
  if (code != SQLITE_OK) Fail(code);
}

void SqliteConnection::UseLog(bool sync_always) {
  if (TextOf("PRAGMA journal_mode=WAL") != "wal") {
    throw MakeError(ErrorCode::kUnsupported, "journal {}: its file system cannot hold a write-ahead log",
                    path_);
  }
  SyncCommits(sync_always);
}

// SQLite syncs its log with a commit only in the first setting.
void SqliteConnection::SyncCommits(bool always) {
  Execute(always ? "PRAGMA synchronous=FULL" : "PRAGMA synchronous=NORMAL");
}

std::vector<std::string> SqliteConnection::Tables() {
  SqliteStatement row(*this, "SELECT name FROM main.sqlite_master WHERE type = 'table'");
  std::vector<std::string> names;
  while (row.Step()) names.push_back(row.Text(0));
  return names;
}

void SqliteConnection::CheckFormat(int version) {
  const std::string application = TextOf("PRAGMA application_id");
  const std::string found = TextOf("PRAGMA user_version");
  if (application == "0" && TextOf("SELECT count(*) FROM sqlite_master") == "0") {
    throw MakeError(ErrorCode::kCorrupt,
                    "journal {0}: the file is empty: the run had not begun, or the file was copied without "
                    "{0}-wal, which belongs to it while the run goes on and after it was killed",
                    path_);
  }
  if (application != std::to_string(kApplicationId)) {
    throw MakeError(ErrorCode::kCorrupt, "journal {}: the file is not a journal", path_);
  }
  if (found != std::to_string(version)) {
    throw MakeError(ErrorCode::kUnsupported, "journal {}: it has format {}, this program knows format {}",
                    path_, found, version);
  }
}

void SqliteConnection::Fail(int code) const {
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

}  // namespace

// Reading a database in WAL mode creates files beside it, unless the database is declared immutable.
std::string ReadOnlyUri(const std::string& path) {
  const std::filesystem::path folder = std::filesystem::path(path).parent_path();
  const bool writable = access(folder.empty() ? "." : folder.c_str(), W_OK) == 0;
  const bool immutable = !writable && access((path + "-wal").c_str(), F_OK) != 0;
  return UriOf(path) + (immutable ? "?immutable=1" : "?mode=ro");
}

std::unique_ptr<Connection> OpenSqlite(const std::string& path, Access access) {
  return std::make_unique<SqliteConnection>(path, access);
}

}  // namespace throng::journal
