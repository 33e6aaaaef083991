// A prepared statement of a journal in PostgreSQL. Rows are read as they arrive.
#pragma once

#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "journal/store/postgres_connection.h"

namespace throng::journal {

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
    if (found_ == nullptr) found_ = connection_.Find(plan_, values_);
    while (rows_ == nullptr || ++row_ >= PQntuples(rows_.get())) {
      rows_ = connection_.Next(*found_);
      row_ = -1;
      if (rows_ == nullptr) {
        found_ = nullptr;
        values_.clear();
        return false;
      }
    }
    return true;
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
  PostgresConnection::Plan& plan_;
  std::vector<SqlValue> values_;
  std::shared_ptr<PostgresRows> found_;
  PostgresResult rows_;  // of these, where it is
  int row_ = -1;
};

}  // namespace throng::journal
