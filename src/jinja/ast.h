// A parsed template. All nodes belong to the Ast, so that a template of any shape is freed without recursion.
#pragma once

#include <cstddef>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "jinja/builtin.h"
#include "jinja/value.h"

namespace throng::jinja {

using NameId = int;  // index into Ast::names

struct Node {
  virtual ~Node() = default;
};

struct Expr : Node {
  enum Kind {
    kConst,
    kName,
    kList,
    kDict,
    kUnary,
    kBinary,
    kLogic,
    kCompare,
    kConcat,
    kConditional,
    kAttribute,
    kItem,
    kSlice,
    kCall,
    kFilter,
    kTest,
  };
  Kind kind;
  size_t offset = 0;  // in the source, for errors
};

struct ArgumentExprs {
  struct Named {
    Text name;
    Expr* value;
  };
  std::vector<Expr*> positional;
  std::vector<Named> named;
  Expr* more_positional = nullptr;  // *list
  Expr* more_named = nullptr;       // **dict
};

struct ConstExpr : Expr {
  Value value;
};
struct NameExpr : Expr {
  NameId id;
};
struct ListExpr : Expr {
  std::vector<Expr*> items;
  bool is_tuple;
};
struct DictExpr : Expr {
  std::vector<std::pair<Expr*, Expr*>> items;
};
struct UnaryExpr : Expr {
  enum Op { kNegative, kPositive, kNot } op;
  Expr* operand;
};
struct BinaryExpr : Expr {
  enum Op { kAdd, kSubtract, kMultiply, kDivide, kFloorDivide, kModulo, kPower } op;
  Expr* left;
  Expr* right;
};
struct LogicExpr : Expr {
  bool is_and;
  Expr* left;
  Expr* right;
};
struct CompareExpr : Expr {
  enum Op { kEqual, kNotEqual, kLess, kLessEqual, kGreater, kGreaterEqual, kIn, kNotIn };
  struct Step {
    Op op;
    Expr* right;
  };
  Expr* first;
  std::vector<Step> steps;
};
struct ConcatExpr : Expr {
  std::vector<Expr*> items;
};
struct ConditionalExpr : Expr {
  Expr* condition;
  Expr* then;
  Expr* otherwise;  // null: undefined
};
struct AttributeExpr : Expr {
  Expr* object;
  std::string name;
};
struct ItemExpr : Expr {
  Expr* object;
  Expr* index;
};
struct SliceExpr : Expr {
  Expr* object;
  Expr* start;  // null: not given; stop and step too
  Expr* stop;
  Expr* step;
};
struct CallExpr : Expr {
  Expr* callee;
  ArgumentExprs arguments;
};
struct FilterExpr : Expr {
  Expr* operand;  // null in blocks: what the block writes
  std::string name;
  const Builtin* filter;  // null: there is none of that name
  ArgumentExprs arguments;
};
struct TestExpr : Expr {
  Expr* operand;
  std::string name;
  const Builtin* test;  // null: there is none of that name
  ArgumentExprs arguments;
};

struct Stmt : Node {
  enum Kind {
    kData,
    kPrint,
    kIf,
    kFor,
    kSet,
    kSetBlock,
    kMacro,
    kCallBlock,
    kFilterBlock,
    kWith,
    kScope,
    kBreak,
    kContinue
  };
  Kind kind;
  size_t offset = 0;
};
using Body = std::vector<Stmt*>;

// What `set` and `for` assign to.
struct Target {
  enum Kind { kName, kAttribute, kTuple } kind = kName;
  size_t offset = 0;
  NameId id = 0;                // kName, kAttribute: the variable
  std::string attribute{};      // kAttribute
  std::vector<Target> items{};  // kTuple
};

struct DataStmt : Stmt {
  Text text;
};
struct PrintStmt : Stmt {
  Expr* value;
};
struct IfStmt : Stmt {
  struct Branch {
    Expr* condition;  // null: else
    Body body;
  };
  std::vector<Branch> branches;
};
struct ForStmt : Stmt {
  Target target;
  Expr* items;
  Expr* condition = nullptr;
  bool is_recursive = false;
  Body body;
  Body otherwise;
};
struct SetStmt : Stmt {
  Target target;
  Expr* value;
};
struct SetBlockStmt : Stmt {
  Target target;
  Expr* filter;  // null: none; else a chain of filters whose innermost operand is null
  Body body;
};
struct MacroStmt : Stmt {
  struct Parameter {
    NameId id;
    std::string name;
    Expr* standard;  // null: none
  };
  NameId id;  // of the macro; not used in a call block
  std::string name;
  std::vector<Parameter> parameters;
  Body body;
  bool uses_varargs = false;
  bool uses_kwargs = false;
  bool uses_caller = false;
};
struct CallBlockStmt : Stmt {
  CallExpr* call;
  MacroStmt* caller;
};
struct FilterBlockStmt : Stmt {
  Expr* filter;
  Body body;
};
struct WithStmt : Stmt {
  std::vector<std::pair<Target, Expr*>> variables;
  Body body;
};
struct ScopeStmt : Stmt {
  Body body;
};
struct JumpStmt : Stmt {};  // break, continue

struct Ast {
  std::string source;  // as NormaliseSource gives it
  std::vector<std::string> names;
  std::vector<std::unique_ptr<Node>> nodes;
  Body body;
};

// Names that blocks define by themselves have these ids in every template.
enum : NameId { kLoopName, kCallerName, kVarargsName, kKwargsName };

}  // namespace throng::jinja
