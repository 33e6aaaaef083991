#include "journal/store/postgres.h"

#include <algorithm>
#include <chrono>
#include <optional>
#include <random>
#include <thread>
#include <utility>
#include <vector>

#include "base/check.h"
#include "base/error.h"
#include "base/log.h"
#include "journal/store/postgres_session.h"
#include "journal/store/schema.h"

namespace throng::journal {

namespace {

using std::chrono::steady_clock;
using Plan = PostgresSession::Plan;

constexpr auto kFirstPause = std::chrono::milliseconds(100);  // between attempts to reach the database again
constexpr auto kLongestPause = std::chrono::milliseconds(2000);
constexpr size_t kSentAhead = 256;  // writes that wait at most until the server gets them

// What the comment on the schema of a journal says.
constexpr std::string_view kMark = "throng journal, format ";

std::string RandomToken() {
  std::random_device device;
  return fmt::format("{:08x}{:08x}{:08x}{:08x}", device(), device(), device(), device());
}

// Who writes the journal, and how many transactions that session has committed: whether the last one was, if
// the connection broke before the server said so. The lock belongs to a connection and ends with it.
constexpr const char* kCreateWriter =
    "CREATE TABLE writer(session TEXT NOT NULL, transactions BIGINT NOT NULL)";

// A journal's connection. A transaction is sent as it is made, and kept until it is committed: when the
// connection is lost, it is sent again as a whole.
class PostgresConnection final : public Connection {
 public:
  PostgresConnection(const PostgresPlace& place, Access access);

  std::unique_ptr<Prepared> Prepare(const std::string& sql) override;
  void Execute(const std::string& sql) override;
  void Define(const std::string& sql) override { Execute(PostgresTypes(sql)); }
  void BeginTables() override;
  void Begin() override { in_transaction_ = true; }
  void BeginReading() override { Execute("BEGIN ISOLATION LEVEL REPEATABLE READ, READ ONLY"); }
  void Commit() override;
  void UseLog(bool sync_always) override;
  void SyncCommits(bool always) override {}  // they always are
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
  Plan& PlanOf(const std::string& sql) { return session_.PlanOf(sql); }
  const Plan& Describe(Plan& plan);
  PostgresResult Query(Plan& plan, const std::vector<SqlValue>& values);
  void Write(Plan& plan, std::vector<SqlValue> values);
  bool Exists();

 private:
  struct Written {
    Plan* plan;
    std::vector<SqlValue> values;
  };

  // Does the work on a connection, and again on another one for as long as there is patience.
  template <typename Work>
  auto Persist(const Work& work);
  void Connect();
  void Wait(const std::string& why);
  bool TryLock();
  void SendTransaction();
  std::string TextOf(const std::string& sql);

  const std::string place_;
  const std::string name_;
  const Access access_;
  const std::string token_ = RandomToken();
  PostgresSession session_;
  Patience patience_;
  std::optional<steady_clock::time_point> away_since_;
  bool is_writer_ = false;          // has said in the table writer that it is
  int64_t transactions_ = 0;        // committed by this object
  int64_t known_transactions_ = 0;  // as the server said when the connection was made again
  bool in_transaction_ = false;
  bool is_begun_ = false;         // on this connection
  std::vector<Written> written_;  // in the open transaction
  size_t num_sent_ = 0;           // of them, on this connection
};

class PostgresStatement final : public Prepared {
 public:
  PostgresStatement(PostgresConnection& connection, const std::string& sql)
      : connection_(connection), plan_(connection.PlanOf(sql)) {}

  void BindInt(int at, int64_t value) override {
    At(at) = {.type = ColumnType::kInt, .number = value, .bytes = {}};
  }
  void BindDouble(int at, double value) override {
    At(at) = {.type = ColumnType::kDouble, .real = value, .bytes = {}};
  }
  void BindText(int at, std::string_view text) override {
    At(at) = {.type = ColumnType::kText, .bytes = std::string(text)};
  }
  void BindBlob(int at, std::string_view bytes) override {
    At(at) = {.type = ColumnType::kBlob, .bytes = std::string(bytes)};
  }
  void BindNull(int at) override { At(at) = {}; }

  bool Step() override {
    if (rows_ == nullptr) {
      rows_ = connection_.Query(plan_, values_);
      row_ = -1;
    }
    if (++row_ < PQntuples(rows_.get())) return true;
    rows_ = nullptr;
    values_.clear();
    return false;
  }
  void Run() override { connection_.Write(plan_, std::exchange(values_, {})); }

  int NumColumns() const override { return PQnfields(connection_.Describe(plan_).columns.get()); }
  std::string ColumnName(int column) const override {
    return PQfname(connection_.Describe(plan_).columns.get(), column);
  }
  ColumnType Type(int column) const override;
  int64_t Int(int column) const override;
  double Double(int column) const override;
  std::string Text(int column) const override;
  std::string Bytes(int column) const override { return BytesFromHex(Raw(column)); }

 private:
  using Types = PostgresTypeIds;

  SqlValue& At(int at) {
    if (values_.size() < static_cast<size_t>(at)) values_.resize(static_cast<size_t>(at));
    return values_[static_cast<size_t>(at) - 1];
  }
  Oid TypeId(int column) const { return PQftype(rows_.get(), column); }
  std::string_view Raw(int column) const {
    return {PQgetvalue(rows_.get(), row_, column),
            static_cast<size_t>(PQgetlength(rows_.get(), row_, column))};
  }

  PostgresConnection& connection_;
  Plan& plan_;
  std::vector<SqlValue> values_;
  PostgresResult rows_;
  int row_ = -1;
};

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

PostgresConnection::PostgresConnection(const PostgresPlace& place, Access access)
    : place_(place.place), name_(place.name), access_(access), session_(place) {
  try {
    session_.Open();
    if (access == Access::kCreate) return;
    if (!Exists()) {
      throw MakeError(ErrorCode::kIo, "journal {}: the database has no journal {}", place_, name_);
    }
    if (access == Access::kWrite && !TryLock()) {
      throw MakeError(ErrorCode::kUnavailable, "journal {}: another running program writes it", place_);
    }
  } catch (const ConnectionLost& lost) {
    throw MakeError(ErrorCode::kIo, "journal {}: the database cannot be reached: {}", place_, lost.why);
  }
}

std::string PostgresConnection::TextOf(const std::string& sql) {
  const PostgresResult row = Query(PlanOf(sql), {});
  return PQntuples(row.get()) > 0 ? PQgetvalue(row.get(), 0, 0) : std::string();
}

bool PostgresConnection::Exists() {
  return !TextOf(fmt::format("SELECT 1 FROM pg_namespace WHERE nspname = '{}'", name_)).empty();
}

// For as long as the connection lasts. The two numbers are 32 bits each: journals, and which one.
bool PostgresConnection::TryLock() {
  session_.Send(
      fmt::format("SELECT pg_try_advisory_lock({}, (oid::bigint - 2147483648)::integer) FROM pg_namespace "
                  "WHERE nspname = '{}'",
                  kApplicationId, name_));
  const PostgresResult row = session_.Sync();
  return PQntuples(row.get()) == 1 && PQgetvalue(row.get(), 0, 0)[0] == 't';
}

template <typename Work>
auto PostgresConnection::Persist(const Work& work) {
  while (true) {
    std::string why;
    try {
      if (!session_.IsOpen()) Connect();
      if constexpr (std::is_void_v<decltype(work())>) {
        work();
        away_since_.reset();
        return;
      } else {
        auto result = work();
        away_since_.reset();
        return result;
      }
    } catch (const ConnectionLost& lost) {
      why = lost.why;
    }
    Wait(why);
  }
}

void PostgresConnection::Connect() {
  is_begun_ = false;
  num_sent_ = 0;
  session_.Open();
  if (!is_writer_) return;
  if (!TryLock()) {
    session_.Close();
    throw ConnectionLost{"the connection before still has the journal's lock, or another program does"};
  }
  session_.Send("SELECT session, transactions FROM writer");
  const PostgresResult row = session_.Sync();
  if (PQntuples(row.get()) != 1 || PQgetvalue(row.get(), 0, 0) != token_) {
    session_.Close();
    throw MakeError(ErrorCode::kUnavailable, "journal {}: another program has gone on with it meanwhile",
                    place_);
  }
  known_transactions_ = std::strtoll(PQgetvalue(row.get(), 0, 1), nullptr, 10);
}

// Once patience has ended, nothing is waited for any more: whoever closes the journal need not be, too.
void PostgresConnection::Wait(const std::string& why) {
  const auto now = steady_clock::now();
  if (patience_.max_wait_s <= 0) {
    throw MakeError(ErrorCode::kUnavailable, "journal {}: the database is away: {}", place_, why);
  }
  if (!away_since_.has_value()) {
    away_since_ = now;
    const std::string waits = fmt::format("journal {}: the database is away ({}), for at most {} s", place_,
                                          why, patience_.max_wait_s);
    patience_.on_wait ? patience_.on_wait(waits) : spdlog::warn("{}", waits);
  }
  const std::chrono::duration<double> away = now - *away_since_;
  if (away.count() >= patience_.max_wait_s) {
    patience_.max_wait_s = 0;
    throw MakeError(ErrorCode::kUnavailable, "journal {}: the database has been away for {:.0f} s: {}",
                    place_, away.count(), why);
  }
  const auto until = now + std::clamp<steady_clock::duration>(now - *away_since_, kFirstPause, kLongestPause);
  while (steady_clock::now() < until) {
    if (patience_.stop != nullptr && *patience_.stop) {
      patience_.max_wait_s = 0;
      throw MakeError(ErrorCode::kCancelled, "journal {}: stopped while the database was away: {}", place_,
                      why);
    }
    std::this_thread::sleep_for(kFirstPause);
  }
}

void PostgresConnection::SendTransaction() {
  if (!in_transaction_) return;
  if (!is_begun_) session_.Send("BEGIN");
  is_begun_ = true;
  for (; num_sent_ < written_.size(); ++num_sent_) {
    session_.Send(*written_[num_sent_].plan, written_[num_sent_].values);
  }
}

void PostgresConnection::Commit() {
  if (!is_writer_) return Execute("COMMIT");
  const int64_t number = transactions_ + 1;
  Persist([&] {
    if (known_transactions_ == number) return;  // the connection broke after it was committed
    SendTransaction();
    session_.Send(fmt::format("UPDATE writer SET transactions = {}", number));
    session_.Send("COMMIT");
    session_.Sync();
  });
  transactions_ = number;
  written_.clear();
  num_sent_ = 0;
  in_transaction_ = is_begun_ = false;
}

const Plan& PostgresConnection::Describe(Plan& plan) {
  if (!plan.is_described) Persist([&] { session_.Describe(plan); });
  return plan;
}

PostgresResult PostgresConnection::Query(Plan& plan, const std::vector<SqlValue>& values) {
  return Persist([&] {
    SendTransaction();
    session_.Send(plan, values);
    return session_.Sync();
  });
}

void PostgresConnection::Write(Plan& plan, std::vector<SqlValue> values) {
  if (!is_writer_) {
    Query(plan, values);
    return;
  }
  const bool is_alone = !in_transaction_;
  if (is_alone) Begin();
  written_.push_back({&plan, std::move(values)});
  if (is_alone) {
    Commit();
  } else if (written_.size() - num_sent_ >= kSentAhead) {
    Persist([&] { SendTransaction(); });
  }
}

void PostgresConnection::Execute(const std::string& sql) {
  try {
    if (!session_.IsOpen()) Connect();
    SendTransaction();
    session_.Script(sql);
  } catch (const ConnectionLost& lost) {
    throw MakeError(ErrorCode::kUnavailable, "journal {}: the connection was lost: {}", place_, lost.why);
  }
}

void PostgresConnection::BeginTables() {
  Execute(fmt::format("BEGIN; CREATE SCHEMA {0}; {1} {2}; INSERT INTO writer VALUES('{3}', 0)",
                      QuotedName(name_), PostgresFunctions(QuotedName(name_)), kCreateWriter, token_));
  is_writer_ = in_transaction_ = is_begun_ = true;
  THRONG_CHECK(TryLock());  // nobody else sees the schema yet
}

void PostgresConnection::UseLog(bool) {
  if (access_ == Access::kCreate) return;  // BeginTables does it
  Execute(fmt::format("UPDATE writer SET session = '{}', transactions = 0", token_));
  is_writer_ = true;
}

void PostgresConnection::MarkFormat(int version) {
  Execute(fmt::format("COMMENT ON SCHEMA {} IS '{}{}'", QuotedName(name_), kMark, version));
}

void PostgresConnection::CheckFormat(int version) {
  const std::string mark = TextOf(fmt::format(
      "SELECT obj_description(oid, 'pg_namespace') FROM pg_namespace WHERE nspname = '{}'", name_));
  if (!mark.starts_with(kMark)) {
    throw MakeError(ErrorCode::kCorrupt, "journal {}: the schema {} of the database is not a journal", place_,
                    name_);
  }
  if (mark.substr(kMark.size()) != std::to_string(version)) {
    throw MakeError(ErrorCode::kUnsupported, "journal {}: it has format {}, this program knows format {}",
                    place_, mark.substr(kMark.size()), version);
  }
}

bool PostgresConnection::HasTable(const std::string&, const std::string& name) {
  return !TextOf(fmt::format("SELECT to_regclass('{}')", name)).empty();
}

std::vector<std::string> PostgresConnection::Tables() {
  const PostgresResult rows = Query(
      PlanOf("SELECT tablename FROM pg_tables WHERE schemaname = current_schema() AND tablename <> 'writer'"),
      {});
  std::vector<std::string> names;
  for (int i = 0; i < PQntuples(rows.get()); ++i) names.emplace_back(PQgetvalue(rows.get(), i, 0));
  return names;
}

int64_t PostgresConnection::Bytes() {
  return std::stoll(
      TextOf("SELECT coalesce(sum(pg_total_relation_size(oid)), 0) FROM pg_class WHERE relkind = 'r' AND "
             "relnamespace = (SELECT oid FROM pg_namespace WHERE nspname = current_schema())"));
}

void PostgresConnection::Remove() { Execute(fmt::format("DROP SCHEMA {} CASCADE", QuotedName(name_))); }

std::unique_ptr<Prepared> PostgresConnection::Prepare(const std::string& sql) {
  return std::make_unique<PostgresStatement>(*this, sql);
}

}  // namespace

std::unique_ptr<Connection> OpenPostgres(const PostgresPlace& place, Access access) {
  return std::make_unique<PostgresConnection>(place, access);
}

bool ExistsInPostgres(const PostgresPlace& place) {
  return PostgresConnection(place, Access::kCreate).Exists();
}

}  // namespace throng::journal
