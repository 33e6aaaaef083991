// Accepts connections, within the limits in all and per address, and ends them when they take too long.
#pragma once

#include <boost/asio/io_context.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/steady_timer.hpp>
#include <deque>
#include <map>
#include <memory>
#include <string>
#include <unordered_map>
#include <vector>

#include "serve/http/connection.h"

namespace throng::serve {

class Listener {
 public:
  using Tcp = boost::asio::ip::tcp;

  // All addresses of this machine that a name has, IPv4 first: localhost may have two, and clients that know
  // one of them only know that one. Throws kIo if it has none.
  static std::vector<Tcp::endpoint> AddressesOf(const std::string& host, int port);

  // Begins to listen on all addresses, at one port; 0 is any that is free. Warns of an address
  // where it cannot. Throws kIo if there is none where it can. `site` outlives this object, which sets its
  // on_close.
  Listener(Site& site, const std::vector<Tcp::endpoint>& addresses);
  ~Listener();

  int Port() const { return port_; }
  std::vector<std::string> Addresses() const;  // with the port, before it drains
  void Start();
  // Accepts nobody, closes idle connections, cancels what is still in work after `seconds`, and stops the
  // loop when no connection is left.
  void Drain(double seconds);
  void CloseAll();

 private:
  using Clock = Connection::Clock;

  struct Entry {
    std::shared_ptr<Connection> connection;
    std::string network;
  };
  struct Door {  // an address, at which connections come in
    Tcp::acceptor acceptor;
    boost::asio::steady_timer retry_timer;
  };

  void Listen(Tcp::endpoint address, bool is_only_one);
  void Accept(Door& door);
  void Admit(Tcp::socket socket, const Tcp::endpoint& client);
  void CloseLongestWaiting();
  void WaitToCheck();
  void Check();
  void Forget(Connection& connection);
  std::vector<std::shared_ptr<Connection>> Connections() const;

  Site& site_;
  std::deque<Door> doors_;  // a deque, so that references stay
  boost::asio::steady_timer check_timer_;
  int port_ = 0;
  size_t most_ = 0;  // connections at once
  std::unordered_map<Connection*, Entry> entries_;
  std::map<std::string, int> per_network_;
  Clock::time_point cancel_at_ = Clock::time_point::max();
};

}  // namespace throng::serve
