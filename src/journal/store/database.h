// A journal's database: an SQLite file, or a schema in a PostgreSQL database. Both understand the SQL that
// journals use; what they say differently is in sqlite.cc and postgres_dialect.cc. Every failure is an Error
// that names the journal.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>

#include "base/digest.h"
#include "journal/store/connection.h"

namespace throng::journal {

class Database;

// A prepared statement: bind all parameters in order, then call Step until it returns false.
class Statement {
 public:
  Statement(Database& database, const char* sql);

  Statement& Bind(int64_t value);
  Statement& Bind(double value);
  Statement& Bind(std::string_view text);
  Statement& Bind(const Digest& digest);  // 16 bytes, high word first, big endian
  Statement& BindBytes(std::string_view bytes);
  Statement& BindNull();
  Statement& BindFrom(const Statement& row, int column);  // a value of any type

  bool Step();  // true: a row is ready; false: done, and ready to be bound again
  void Run();   // for statements that return no rows

  int NumColumns() const { return prepared_->NumColumns(); }
  std::string ColumnName(int column) const { return prepared_->ColumnName(column); }
  bool IsInt(int column) const { return prepared_->Type(column) == ColumnType::kInt; }
  bool IsDouble(int column) const { return prepared_->Type(column) == ColumnType::kDouble; }
  bool IsNull(int column) const { return prepared_->Type(column) == ColumnType::kNull; }
  int64_t Int(int column) const { return prepared_->Int(column); }
  double Double(int column) const { return prepared_->Double(column); }
  std::string Text(int column) const { return prepared_->Text(column); }
  std::string Bytes(int column) const { return prepared_->Bytes(column); }  // of a blob
  Digest GetDigest(int column) const;  // throws kCorrupt unless it has 16 bytes

 private:
  Database& database_;
  std::unique_ptr<Prepared> prepared_;
  int bound_ = 0;
};

class Database {
 public:
  // See place.h. Throws kIo if it cannot be opened, kUnavailable if it is to be written and another program
  // does so, kInvalid if it is to be new and is not, kUnsupported if this program was built without
  // PostgreSQL.
  Database(const std::string& place, Access access);

  void Execute(const std::string& sql) { connection_->Execute(sql); }
  std::string TextOf(const std::string& sql);  // first column of the first row; empty if there is none
  Connection& GetConnection() { return *connection_; }

 private:
  std::unique_ptr<Connection> connection_;
};

}  // namespace throng::journal
