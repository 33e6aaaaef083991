#include "journal/store/postgres_session.h"

#include <poll.h>

#include <algorithm>
#include <cstring>
#include <string_view>
#include <utility>

#include "base/error.h"

namespace throng::journal {

namespace {

constexpr int kSentAtOnce = 64;  // commands after which the server gets to work

// Whoever is to go on elsewhere waits until the server has given up a controller whose host is gone: half a
// minute, instead of two hours. And as long until this end gives up the server.
constexpr const char* kConnectionSettings[][2] = {
    {"connect_timeout", "10"}, {"keepalives_idle", "10"},     {"keepalives_interval", "5"},
    {"keepalives_count", "3"}, {"tcp_user_timeout", "30000"}, {"fallback_application_name", "throng"},
};
constexpr const char* kSessionSettings =
    "SET tcp_keepalives_idle = 10; SET tcp_keepalives_interval = 5; SET tcp_keepalives_count = 3; "
    "SET tcp_user_timeout = 30000; SET synchronous_commit = on; SET client_min_messages = error; "
    "SET search_path = {}";

// Of a message, which goes on with what may be the reason.
std::string FirstLine(const char* message) {
  std::string_view text = message == nullptr ? "" : message;
  text = text.substr(0, text.find('\n'));
  return std::string(text.empty() ? "it does not answer" : text);
}

std::string FieldOf(const PGresult& result, int field) {
  const char* text = PQresultErrorField(&result, field);
  return text == nullptr ? std::string() : text;
}

// Shutting down, starting up, crashed, or a connection that broke.
bool IsAway(std::string_view state) {
  return state.starts_with("57P") || state.starts_with("08") || state.empty();
}

// How types are called of which a statement can have arrays; null: none.
const char* NameOfType(Oid type) {
  switch (type) {
    case PostgresTypeIds::kInt8:
      return "bigint";
    case PostgresTypeIds::kFloat8:
      return "double precision";
    case PostgresTypeIds::kText:
      return "text";
    case PostgresTypeIds::kBytea:
      return "bytea";
    case PostgresTypeIds::kJson:
      return "json";
    default:
      return nullptr;
  }
}

// Of a parameter of this type; bytes stay as they are.
std::string ToText(const SqlValue& value, Oid type) {
  if (type == PostgresTypeIds::kJson) return AnyToJson(value);
  switch (value.type) {
    case ColumnType::kInt:
      return std::to_string(value.number);
    case ColumnType::kDouble:
      return fmt::format("{}", value.real);
    case ColumnType::kText:
      return EscapeText(value.bytes);
    default:
      return value.bytes;
  }
}

}  // namespace

PostgresSession::PostgresSession(PostgresPlace place)
    : place_(std::move(place)), connection_(nullptr, PQfinish) {
  char* raw = nullptr;
  const std::unique_ptr<PQconninfoOption, void (*)(PQconninfoOption*)> options(
      PQconninfoParse(place_.address.c_str(), &raw), PQconninfoFree);
  const std::unique_ptr<char, void (*)(void*)> problem(raw, PQfreemem);
  if (options == nullptr) {
    throw MakeError(ErrorCode::kInvalid,
                    "journal {}: {}, allowed: an address that psql takes, with journal=NAME", place_.place,
                    FirstLine(problem.get()));
  }
  for (const PQconninfoOption* option = options.get(); option->keyword != nullptr; ++option) {
    const std::string_view key = option->keyword;
    if ((key == "password" || key == "sslpassword") && option->val != nullptr) throw PasswordRefused();
  }
}

void PostgresSession::Lose() {
  std::string why = FirstLine(connection_ == nullptr ? nullptr : PQerrorMessage(connection_.get()));
  Close();
  throw ConnectionLost{std::move(why)};
}

void PostgresSession::Fail(const PGresult& result) {
  const std::string state = FieldOf(result, PG_DIAG_SQLSTATE);
  const std::string message = FirstLine(PQresultErrorField(&result, PG_DIAG_MESSAGE_PRIMARY));
  if (IsAway(state) || PQstatus(connection_.get()) != CONNECTION_OK) {
    Close();
    throw ConnectionLost{message};
  }
  Close();
  if (state == "42P06") {  // duplicate_schema
    throw MakeError(ErrorCode::kInvalid, "journal {}: it exists; resume it, or give another name",
                    place_.place);
  }
  if (state.starts_with("53")) {
    throw MakeError(ErrorCode::kExhausted, "journal {}: the database has no more room: {}", place_.place,
                    message);
  }
  throw MakeError(ErrorCode::kIo, "journal {}: the database refuses: {}", place_.place, message);
}

void PostgresSession::Open() {
  std::vector<const char*> keys;
  std::vector<const char*> values;
  for (const auto& [key, value] : kConnectionSettings) {
    keys.push_back(key);
    values.push_back(value);
  }
  for (const auto& [key, value] :
       {std::pair{"dbname", place_.address.c_str()}, std::pair{"client_encoding", "UTF8"}}) {
    keys.push_back(key);
    values.push_back(value);
  }
  keys.push_back(nullptr);
  values.push_back(nullptr);
  num_sent_ = 0;
  ++num_opened_;
  connection_.reset(PQconnectdbParams(keys.data(), values.data(), 1));
  if (connection_ == nullptr || PQstatus(connection_.get()) != CONNECTION_OK) Lose();
  if (PQserverVersion(connection_.get()) < 140000) {
    const int version = PQserverVersion(connection_.get());
    throw MakeError(ErrorCode::kUnsupported, "journal {}: the server is PostgreSQL {}, allowed: 14 or later",
                    place_.place, version / 10000);
  }
  const char* encoding = PQparameterStatus(connection_.get(), "server_encoding");
  if (encoding == nullptr || std::strcmp(encoding, "UTF8") != 0) {
    throw MakeError(ErrorCode::kUnsupported, "journal {}: the database has the encoding {}, allowed: UTF8",
                    place_.place, encoding == nullptr ? "unknown" : encoding);
  }
  Require(PQsetnonblocking(connection_.get(), 1) == 0);
  Require(PQenterPipelineMode(connection_.get()) == 1);
  Script(fmt::format(fmt::runtime(kSessionSettings), QuotedName(place_.name)));
}

PostgresSession::Plan& PostgresSession::PlanOf(const std::string& sql) {
  std::unique_ptr<Plan>& plan = plans_[sql];
  if (plan == nullptr) {
    plan = std::make_unique<Plan>();
    plan->name = fmt::format("p{}", plans_.size());
    plan->source = sql;
    plan->sql = PostgresParameters(sql);
  }
  return *plan;
}

const PostgresSession::Plan& PostgresSession::Describe(Plan& plan) {
  if (plan.is_described) return plan;
  KeepArriving();
  Require(PQsendPrepare(connection_.get(), plan.name.c_str(), plan.sql.c_str(), 0, nullptr) == 1);
  Require(PQsendDescribePrepared(connection_.get(), plan.name.c_str()) == 1);
  num_sent_ += 2;
  const PostgresResult described = Sync();
  for (int i = 0; i < PQnparams(described.get()); ++i)
    plan.parameters.push_back(PQparamtype(described.get(), i));
  plan.columns = described;
  plan.prepared_in = num_opened_;
  plan.is_described = true;
  std::vector<std::string> types;
  for (const Oid type : plan.parameters) {
    const char* name = NameOfType(type);
    if (name == nullptr) return plan;
    types.emplace_back(name);
  }
  const std::string many_rows = PostgresManyRows(plan.source, types);
  if (!many_rows.empty()) plan.many_rows = &PlanOf(many_rows);
  return plan;
}

void PostgresSession::Send(Plan& plan, const std::vector<SqlValue>& values) {
  Describe(plan);
  std::vector<Parameter> parameters(values.size());
  for (size_t i = 0; i < values.size(); ++i) {
    if (values[i].type == ColumnType::kNull) continue;
    const Oid type = i < plan.parameters.size() ? plan.parameters[i] : 0;
    parameters[i] = {ToText(values[i], type), values[i].type == ColumnType::kBlob};
  }
  SendParameters(plan, parameters);
}

void PostgresSession::SendRows(Plan& plan, const std::vector<const std::vector<SqlValue>*>& rows) {
  Describe(*plan.many_rows);
  std::vector<Parameter> parameters(plan.parameters.size());
  std::vector<std::optional<std::string>> column(rows.size());
  for (size_t i = 0; i < parameters.size(); ++i) {
    for (size_t row = 0; row < rows.size(); ++row) {
      const SqlValue& value = rows[row]->at(i);
      column[row].reset();
      if (value.type == ColumnType::kNull) continue;
      column[row] =
          value.type == ColumnType::kBlob ? HexOfBytes(value.bytes) : ToText(value, plan.parameters[i]);
    }
    parameters[i].value = PostgresArray(column);
  }
  SendParameters(*plan.many_rows, parameters);
}

void PostgresSession::SendParameters(Plan& plan, const std::vector<Parameter>& parameters) {
  KeepArriving();
  if (plan.prepared_in != num_opened_) {
    Require(PQsendPrepare(connection_.get(), plan.name.c_str(), plan.sql.c_str(), 0, nullptr) == 1);
    ++num_sent_;
    plan.prepared_in = num_opened_;
  }
  std::vector<const char*> data(parameters.size());
  std::vector<int> lengths(parameters.size());
  std::vector<int> formats(parameters.size());
  for (size_t i = 0; i < parameters.size(); ++i) {
    if (!parameters[i].value) continue;
    data[i] = parameters[i].value->c_str();
    lengths[i] = static_cast<int>(parameters[i].value->size());
    formats[i] = parameters[i].is_binary ? 1 : 0;
  }
  Require(PQsendQueryPrepared(connection_.get(), plan.name.c_str(), static_cast<int>(parameters.size()),
                              data.data(), lengths.data(), formats.data(), 0) == 1);
  if (++num_sent_ % kSentAtOnce == 0) FlushOutput();  // those of a transaction that is sent again
}

void PostgresSession::Send(const std::string& sql) {
  KeepArriving();
  Require(PQsendQueryParams(connection_.get(), sql.c_str(), 0, nullptr, nullptr, nullptr, nullptr, 0) == 1);
  ++num_sent_;
}

void PostgresSession::FlushOutput() {
  while (true) {
    const int flushed = PQflush(connection_.get());
    if (flushed == 0) return;
    Require(flushed == 1);
    pollfd socket{PQsocket(connection_.get()), POLLIN | POLLOUT, 0};
    poll(&socket, 1, -1);
    if ((socket.revents & ~POLLOUT) != 0) Require(PQconsumeInput(connection_.get()) == 1);
  }
}

void PostgresSession::BeginSync() {
  Require(PQpipelineSync(connection_.get()) == 1);
  FlushOutput();
}

PostgresResult PostgresSession::TakeResults() {
  PostgresResult last;
  while (PGresult* const raw = PQgetResult(connection_.get())) {
    if (last == nullptr || PQresultStatus(last.get()) != PGRES_FATAL_ERROR)
      last = PostgresResult(raw, PQclear);
    else
      PQclear(raw);
  }
  return last;
}

void PostgresSession::EndSync() {
  const PostgresResult end(PQgetResult(connection_.get()), PQclear);
  Require(end != nullptr && PQresultStatus(end.get()) == PGRES_PIPELINE_SYNC);
}

PostgresResult PostgresSession::Sync() {
  BeginSync();
  PostgresResult last;
  PostgresResult failed;
  for (int i = std::exchange(num_sent_, 0); i > 0; --i) {
    last = TakeResults();
    if (failed == nullptr && last != nullptr && PQresultStatus(last.get()) == PGRES_FATAL_ERROR)
      failed = last;
    if (PQstatus(connection_.get()) != CONNECTION_OK) break;
  }
  if (failed != nullptr) Fail(*failed);
  EndSync();
  return last;
}

std::shared_ptr<PostgresRows> PostgresSession::SyncRows() {
  BeginSync();
  for (int i = std::exchange(num_sent_, 0); i > 1; --i) {
    const PostgresResult result = TakeResults();
    if (result == nullptr) Lose();
    if (PQresultStatus(result.get()) == PGRES_FATAL_ERROR) Fail(*result);
  }
  Require(PQsetSingleRowMode(connection_.get()) == 1);
  arriving_ = std::make_shared<PostgresRows>();
  return arriving_;
}

// Takes one more row of those that arrive.
void PostgresSession::Arrive() {
  const PostgresResult result(PQgetResult(connection_.get()), PQclear);
  if (result == nullptr) Lose();
  const ExecStatusType status = PQresultStatus(result.get());
  if (status == PGRES_SINGLE_TUPLE) {
    arriving_->arrived.push_back(result);
    return;
  }
  if (status == PGRES_FATAL_ERROR) Fail(*result);
  Require(PQgetResult(connection_.get()) == nullptr);
  EndSync();
  arriving_->is_complete = true;
  arriving_ = nullptr;
}

// Of what nobody will take, nothing is kept.
void PostgresSession::KeepArriving() {
  while (arriving_ != nullptr) {
    if (arriving_.use_count() == 1) arriving_->arrived.clear();
    Arrive();
  }
}

PostgresResult PostgresSession::Next(PostgresRows& rows) {
  if (rows.arrived.empty() && !rows.is_complete) {
    if (arriving_.get() != &rows) Lose();
    Arrive();
  }
  if (rows.arrived.empty()) return nullptr;
  PostgresResult next = std::move(rows.arrived.front());
  rows.arrived.pop_front();
  return next;
}

void PostgresSession::Script(const std::string& sql) {
  KeepArriving();
  if (num_sent_ > 0) Sync();
  Require(PQexitPipelineMode(connection_.get()) == 1);
  const PostgresResult result(PQexec(connection_.get(), sql.c_str()), PQclear);
  if (result == nullptr) Lose();
  if (PQresultStatus(result.get()) == PGRES_FATAL_ERROR) Fail(*result);
  Require(PQenterPipelineMode(connection_.get()) == 1);
}

}  // namespace throng::journal
