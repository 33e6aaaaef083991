// What a kind of database does for journals: SQLite (sqlite.h) and PostgreSQL (postgres.h). Only database.h
// uses it.
#pragma once

#include <atomic>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

namespace throng::journal {

class Inbox;

enum class Access {
  kRead,    // beside a program that writes
  kBeside,  // the same, to write for it: events from outside, answers of people
  kWrite,   // as the only writer
  kCreate,  // a new journal, as its only writer
};

enum class ColumnType { kNull, kInt, kDouble, kText, kBlob };

// How long a writer waits for a database that is away, and whom it tells.
struct Patience {
  double max_wait_s = 0;
  const std::atomic<bool>* stop = nullptr;  // ends the wait
  // Told in one sentence, once each time; not set: it is logged.
  std::function<void(const std::string&)> on_wait{};
};

// A prepared statement. Positions of parameters count from 1, columns from 0; columns are of the row that
// Step found.
class Prepared {
 public:
  virtual ~Prepared() = default;
  virtual void BindInt(int at, int64_t value) = 0;
  virtual void BindDouble(int at, double value) = 0;
  virtual void BindText(int at, std::string_view text) = 0;
  virtual void BindBlob(int at, std::string_view bytes) = 0;
  virtual void BindNull(int at) = 0;

  virtual bool Step() = 0;
  virtual void Run() = 0;  // of one that returns no rows; may be put off to the next Step or Commit

  virtual int NumColumns() const = 0;
  virtual std::string ColumnName(int column) const = 0;
  virtual ColumnType Type(int column) const = 0;
  virtual int64_t Int(int column) const = 0;
  virtual double Double(int column) const = 0;
  virtual std::string Text(int column) const = 0;
  virtual std::string Bytes(int column) const = 0;
};

// All of these throw Errors that name the journal.
class Connection {
 public:
  virtual ~Connection() = default;
  virtual std::unique_ptr<Prepared> Prepare(const std::string& sql) = 0;
  virtual void Execute(const std::string& sql) = 0;  // any number of statements
  virtual void Define(const std::string& sql) = 0;   // tables and views, in the words of schema.h

  virtual void BeginTables() = 0;  // the transaction in which a new journal gets its tables
  virtual void Begin() = 0;
  virtual void BeginReading() = 0;  // all that is read until Commit is of one moment
  virtual void Commit() = 0;        // what was written survives this process

  virtual void UseLog(bool sync_always) = 0;  // of a journal that is written: what a commit survives
  virtual void SyncCommits(bool always) = 0;  // outside of transactions: survive a loss of power, too
  virtual void Checkpoint() = 0;
  virtual void MarkFormat(int version) = 0;
  virtual void CheckFormat(int version) = 0;
  virtual bool HasTable(const std::string& schema, const std::string& name) = 0;  // schema: of SQLite
  virtual std::vector<std::string> Tables() = 0;  // of the journal, without views
  virtual int64_t Bytes() = 0;
  // The whole journal, at the latest with this object, unless somebody else has made it.
  virtual void Remove() = 0;
  virtual Inbox* GetInbox() = 0;  // null: other connections of this process are never locked out
  virtual void SetPatience(Patience patience) = 0;
  [[noreturn]] virtual void FailCorrupt() const = 0;
};

}  // namespace throng::journal
