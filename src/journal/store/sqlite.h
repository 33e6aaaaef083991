// Owns SQLite handles and turns every failure into an Error that names the file.
#pragma once

#include <sqlite3.h>

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "base/digest.h"

namespace throng::journal {

class Database;

// The name under which SQLite opens a file only to read. On a read-only disk, a file can be read only if no
// program has it open for writing.
std::string ReadOnlyUri(const std::string& path);

// A prepared statement: bind all parameters in order, then call Step until it returns false, or Reset.
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
  void Reset();

  int NumColumns() const;
  std::string ColumnName(int column) const;
  bool IsInt(int column) const;
  bool IsDouble(int column) const;
  bool IsBlob(int column) const;
  bool IsNull(int column) const;
  int64_t Int(int column) const;
  double Double(int column) const;
  std::string Text(int column) const;
  std::string Bytes(int column) const;  // of a blob
  Digest GetDigest(int column) const;   // throws kCorrupt unless it has 16 bytes

 private:
  void Check(int code) const;

  Database& database_;
  std::unique_ptr<sqlite3_stmt, int (*)(sqlite3_stmt*)> statement_;
  int bound_ = 0;
};

class Database {
 public:
  // The file must exist. Throws kIo if it cannot be opened. See ReadOnlyUri.
  Database(const std::string& path, bool read_only);

  void Execute(const char* sql);
  std::string TextOf(const char* sql);  // first column of the first row; empty if there is none
  // Throws the Error that `code`, an SQLite result, means for this file.
  [[noreturn]] void Fail(int code) const;

  sqlite3* Handle() const { return handle_.get(); }
  const std::string& Path() const { return path_; }

 private:
  std::string path_;
  std::unique_ptr<sqlite3, int (*)(sqlite3*)> handle_;
};

}  // namespace throng::journal
