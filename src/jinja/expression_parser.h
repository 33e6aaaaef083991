// The part of the parser that reads expressions: a base of the one that reads statements.
#pragma once

#include <initializer_list>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "jinja/ast.h"
#include "jinja/lexer.h"

namespace throng::jinja {

class ExpressionParser {
 public:
  ExpressionParser(std::string_view name, Ast& ast);

 protected:
  [[noreturn]] void Fail(size_t offset, std::string_view message) const;
  [[noreturn]] void FailToken(std::string_view expected) const;

  const Token& Current() const { return tokens_[pos_]; }
  const Token& Following() const { return tokens_[std::min(pos_ + 1, tokens_.size() - 1)]; }
  Token Take() { return tokens_[pos_++]; }  // never called on kEnd
  bool IsOperator(std::string_view text) const {
    return Current().kind == Token::kOperator && Current().text == text;
  }
  bool IsName(std::string_view text) const {
    return Current().kind == Token::kName && Current().text == text;
  }
  bool SkipOperator(std::string_view text);
  bool SkipName(std::string_view text);
  void ExpectOperator(std::string_view text);
  std::string ExpectName(std::string_view what);
  void Expect(Token::Kind kind, std::string_view what);

  // Expressions separated by commas are a tuple.
  Expr* ParseTuple();
  Expr* ParseExpression(bool with_condition = true);
  ArgumentExprs ParseArguments();
  // The filters that follow `operand`, from the first name on; `operand` may be null.
  Expr* ParseFilters(Expr* operand, bool begins_with_name);
  Expr* ParsePostfix(Expr* operand);
  Expr* ParsePrimary();

  NameId Intern(const std::string& name);

  template <typename T>
  T* New(size_t offset) {
    auto node = std::make_unique<T>();
    T* raw = node.get();
    raw->offset = offset;
    ast_.nodes.push_back(std::move(node));
    return raw;
  }
  template <typename T>
  T* NewExpr(Expr::Kind kind, size_t offset) {
    T* node = New<T>(offset);
    node->kind = kind;
    return node;
  }

  // One level of nesting deeper, until it is destroyed.
  class Level {
   public:
    explicit Level(ExpressionParser& parser);
    Level(const Level&) = delete;
    Level& operator=(const Level&) = delete;
    ~Level() { --parser_.depth_; }

   private:
    ExpressionParser& parser_;
  };

  std::string_view name_;
  Ast& ast_;
  std::vector<Token> tokens_;
  size_t pos_ = 0;
  std::vector<MacroStmt*> macros_;  // those that are being parsed, outermost first

 private:
  Expr* ParseConditional();
  Expr* ParseOr();
  Expr* ParseAnd();
  Expr* ParseNot();
  Expr* ParseComparison();
  Expr* ParseSum();
  Expr* ParseConcat();
  Expr* ParseProduct();
  Expr* ParsePower();
  Expr* ParseUnary(bool with_filters);
  Expr* ParseParenthesis();
  Expr* ParseListLiteral();
  Expr* ParseDictLiteral();
  Expr* ParseSubscript(Expr* object);
  Expr* ParseIndex(Expr* object);
  Expr* ParseTest(Expr* operand);
  Expr* ParseNameOrConstant();
  Expr* NewConst(size_t offset, Value value);
  Expr* NewBinary(BinaryExpr::Op op, size_t offset, Expr* left, Expr* right);
  bool BeginsPrimary() const;

  std::unordered_map<std::string, NameId> ids_;
  int depth_ = 0;
};

}  // namespace throng::jinja
