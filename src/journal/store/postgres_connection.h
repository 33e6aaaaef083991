// The connection of a journal in PostgreSQL: transactions, and what becomes of them when it is lost.
#pragma once

#include <chrono>
#include <cstdint>
#include <deque>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "journal/store/connection.h"
#include "journal/store/postgres_session.h"

namespace throng::journal {

// A journal's connection. A transaction is sent as it is made, and kept until it is on the server's disk:
// when the connection is lost, or the server with what it had only in memory, it is sent again as a whole.
class PostgresConnection final : public Connection {
 public:
  PostgresConnection(const PostgresPlace& place, Access access);
  ~PostgresConnection() override;

  std::unique_ptr<Prepared> Prepare(const std::string& sql) override;
  void Execute(const std::string& sql) override;
  void Define(const std::string& sql) override { Execute(PostgresTypes(sql)); }
  void BeginTables() override;
  void Begin() override { in_transaction_ = true; }
  void BeginReading() override { Execute("BEGIN ISOLATION LEVEL REPEATABLE READ, READ ONLY"); }
  void Commit() override;
  void UseLog(bool sync_always) override;
  void SyncCommits(bool always) override { syncs_always_ = always; }
  void Checkpoint() override {}
  void MarkFormat(int version) override;
  void CheckFormat(int version) override;
  bool HasTable(const std::string& schema, const std::string& name) override;
  std::vector<std::string> Tables() override;
  int64_t Bytes() override;
  void Remove() override;
  Inbox* GetInbox() override { return nullptr; }
  void SetPatience(Patience patience) override { patience_ = std::move(patience); }
  [[noreturn]] void FailCorrupt() const override {
    throw MakeError(ErrorCode::kCorrupt, "journal {}: it is damaged", place_);
  }

  // For statements.
  using Plan = PostgresSession::Plan;
  Plan& PlanOf(const std::string& sql) { return session_.PlanOf(sql); }
  const Plan& Describe(Plan& plan);
  PostgresResult Query(Plan& plan, const std::vector<SqlValue>& values);
  // What it finds, and its next rows: null after the last. A writer has all of them at once, as its
  // connection may be lost and made again.
  std::shared_ptr<PostgresRows> Find(Plan& plan, const std::vector<SqlValue>& values);
  PostgresResult Next(PostgresRows& rows);
  void Write(Plan& plan, std::vector<SqlValue> values);
  bool Exists();

 private:
  struct Written {
    Plan* plan;
    std::vector<SqlValue> values;
    size_t bytes;
  };
  struct Transaction {
    int64_t number = 1;
    std::vector<Written> written;
    size_t bytes = 0;
  };

  // Does the work on a connection, and again on another one for as long as there is patience.
  template <typename Work>
  auto Persist(const Work& work);
  void Connect();
  void Wait(const std::string& why);
  PostgresResult Lock(std::string_view function, int32_t purpose);
  bool TryLock();
  void WaitForOthersBeside();
  void SendAgain();
  void SendTransaction();
  void SendWritten(std::span<const Written> written);
  void SendCommit(int64_t number, bool waits_for_disk);
  std::string TextOf(const std::string& sql);

  const std::string place_;
  const std::string name_;
  const Access access_;
  const std::string token_;  // of this writer, among all
  PostgresSession session_;
  Patience patience_;
  std::optional<std::chrono::steady_clock::time_point> away_since_;
  bool is_writer_ = false;  // has said in the table writer that it is
  bool syncs_always_ = true;
  int64_t known_transactions_ = 0;  // that the server has, as it said when the connection was made again
  bool in_transaction_ = false;
  bool is_begun_ = false;           // on this connection
  Transaction open_;                // the next, or the one in which this is
  size_t num_sent_ = 0;             // of what it has written, on this connection
  std::deque<Transaction> unsure_;  // committed, perhaps not yet on the disk
  size_t unsure_bytes_ = 0;
  std::chrono::steady_clock::time_point last_sync_ = std::chrono::steady_clock::now();
};

}  // namespace throng::journal
