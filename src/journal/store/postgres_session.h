// One connection to a PostgreSQL server, in pipeline mode: commands are sent without waiting, and Sync waits
// for all of them. It knows nothing of journals but their schema.
#pragma once

#include <libpq-fe.h>

#include <deque>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "journal/store/place.h"
#include "journal/store/postgres_dialect.h"

namespace throng::journal {

// The server is away, or this connection to it is lost.
struct ConnectionLost {
  std::string why;
};

using PostgresResult = std::shared_ptr<PGresult>;

// What a command finds, as it arrives.
struct PostgresRows {
  std::deque<PostgresResult> arrived;  // and not taken yet
  bool is_complete = false;
};

class PostgresSession {
 public:
  // A statement as the server knows it.
  struct Plan {
    std::string name;
    std::string source;  // as journals write it
    std::string sql;
    bool is_described = false;
    std::vector<Oid> parameters;
    PostgresResult columns;     // without rows
    int prepared_in = 0;        // which of the connections that this session has had
    Plan* many_rows = nullptr;  // adds any number of rows, each of which this would; null: there is none
  };

  explicit PostgresSession(PostgresPlace place);

  // All but Close throw ConnectionLost, and Errors for what the server refuses. After either, the session is
  // closed: what was not committed is gone.
  void Open();
  void Close() {
    connection_ = nullptr;
    arriving_ = nullptr;
  }
  bool IsOpen() const { return connection_ != nullptr; }

  Plan& PlanOf(const std::string& sql);  // as journals write it; lives as long as the session
  const Plan& Describe(Plan& plan);
  void Send(Plan& plan, const std::vector<SqlValue>& values);
  // Of a plan with many_rows, with the values of each row.
  void SendRows(Plan& plan, const std::vector<const std::vector<SqlValue>*>& rows);
  void Send(const std::string& sql);  // one command, without values
  PostgresResult Sync();              // that of the last command
  // As Sync, but what the last command finds is not waited for: Next takes the next rows, null after the
  // last. What has not arrived when something else is sent is read and kept then.
  std::shared_ptr<PostgresRows> SyncRows();
  PostgresResult Next(PostgresRows& rows);
  void Script(const std::string& sql);  // any number of commands, at once

  // The server gets to work on what was sent. Reads what it says meanwhile: both ends would wait for each
  // other otherwise.
  void FlushOutput();

  [[noreturn]] void Lose();

 private:
  struct Parameter {
    std::optional<std::string> value;
    bool is_binary = false;
  };
  void SendParameters(Plan& plan, const std::vector<Parameter>& parameters);
  void Require(bool is_done) {
    if (!is_done) Lose();
  }
  [[noreturn]] void Fail(const PGresult& result);
  void BeginSync();
  PostgresResult TakeResults();  // of the next command: the last, or what failed
  void EndSync();
  void Arrive();
  void KeepArriving();

  PostgresPlace place_;
  std::unique_ptr<PGconn, void (*)(PGconn*)> connection_;
  int num_opened_ = 0;
  int num_sent_ = 0;                                    // since the last Sync
  std::shared_ptr<PostgresRows> arriving_;              // null: all have arrived
  std::map<std::string, std::unique_ptr<Plan>> plans_;  // by SQL
};

// Kinds of columns and parameters, as in PostgreSQL's catalog pg_type, which keeps them for ever.
struct PostgresTypeIds {
  static constexpr Oid kBool = 16, kBytea = 17, kInt8 = 20, kInt2 = 21, kInt4 = 23, kText = 25, kJson = 114,
                       kFloat4 = 700, kFloat8 = 701, kNumeric = 1700;
};

}  // namespace throng::journal
