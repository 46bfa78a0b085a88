// <utility> first: Asio 1.74 misses it with GCC 12
#include "services/preference_broker/http/server.h"

#include <sys/resource.h>

#include <algorithm>
#include <atomic>
#include <boost/asio/awaitable.hpp>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/detached.hpp>
#include <boost/asio/executor_work_guard.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/redirect_error.hpp>
#include <boost/asio/ssl/stream.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <boost/asio/write.hpp>
#include <boost/beast/core/flat_buffer.hpp>
#include <boost/beast/http.hpp>
#include <exception>
#include <future>
#include <optional>
#include <set>
#include <thread>
#include <utility>
#include <vector>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/strip.h"
#include "common/base/log.h"
#include "common/base/mutex.h"
#include "common/base/status_macros.h"
#include "services/preference_broker/http/gateway.h"
#include "services/preference_broker/http/tls.h"

namespace backflip::preference_broker {
namespace {

namespace asio = boost::asio;
namespace http = boost::beast::http;
namespace ssl = boost::asio::ssl;
using asio::ip::tcp;
using boost::system::error_code;
using Clock = std::chrono::steady_clock;

constexpr int kThreads = 2;
constexpr uint32_t kMaxHeaderBytes = 16 << 10;
// Of bodies that have come in part, over all connections.
constexpr int64_t kMaxPendingBytes = 256 << 20;
// Files that connections must leave to the rest of the process.
constexpr int64_t kSparedFiles = 256;
constexpr int64_t kMaxConnections = 50'000;
constexpr size_t kReadBytes = 4 << 10;
constexpr size_t kReadBodyBytes = 64 << 10;
constexpr size_t kWriteBytes = 64 << 10;
// Deadlines of connections are looked at this often.
constexpr std::chrono::milliseconds kSweep(100);
// A client that is told to go may read what was written for so long; closing
// at once could take it back.
constexpr std::chrono::seconds kLinger(2);
constexpr size_t kLingerBytes = 16 << 20;

// Browsers run nothing that did not come from here as a file, and show these pages in no frame.
constexpr char kContentSecurityPolicy[] =
    "default-src 'self'; img-src 'self' data: blob:; connect-src 'self'; object-src 'none'; "
    "base-uri 'none'; "
    "form-action 'none'; frame-ancestors 'none'";

asio::redirect_error_t<asio::use_awaitable_t<>> Into(error_code& error) {
  return asio::redirect_error(asio::use_awaitable, error);
}

class Session;

// What all threads share.
struct Shared {
  Shared(const HttpOptions& o, const std::shared_ptr<grpc::Channel>& channel, Pages pages)
      : options(o), gateway(channel, std::move(pages)) {}

  const HttpOptions options;
  Gateway gateway;
  std::atomic<int64_t> pending_bytes{0};
  std::atomic<bool> draining{false};

  base::Mutex mutex;
  base::CondVar ended;
  int64_t connections ABSL_GUARDED_BY(mutex) = 0;

  int64_t Connections() {
    base::MutexLock lock(&mutex);
    return connections;
  }
  void Count(int change) {
    base::MutexLock lock(&mutex);
    connections += change;
    if (connections == 0) ended.NotifyAll();
  }
};

// A thread and its connections, each of which stays on it: nothing here needs a
// lock. Lives as long as somebody may still post to it.
struct Shard {
  explicit Shard(Shared* s) : shared(s), work(context.get_executor()), sweep(context) {}

  Shared* const shared;
  asio::io_context context{1};
  asio::executor_work_guard<asio::io_context::executor_type> work;
  asio::steady_timer sweep;
  std::set<Session*> sessions;
  std::thread thread;
};

// One connection, from its shard's thread alone.
class Session {
 public:
  virtual ~Session() = default;
  // Closes the connection if its deadline has passed.
  virtual void CheckDeadline(Clock::time_point now) = 0;
  // Closes the connection if no request is being read or answered.
  virtual void CloseIdle() = 0;
  // Ends it soon, whatever it does.
  virtual void Abort() = 0;
};

void SetHeaders(const Answer& answer, bool keep_alive, http::fields* fields) {
  fields->set("Content-Security-Policy", kContentSecurityPolicy);
  fields->set("X-Content-Type-Options", "nosniff");
  fields->set("Referrer-Policy", "no-referrer");
  fields->set(http::field::cache_control, answer.cache_control);
  if (!answer.content_type.empty()) fields->set(http::field::content_type, answer.content_type);
  if (!answer.encoding.empty()) fields->set(http::field::content_encoding, answer.encoding);
  for (const auto& [name, value] : answer.headers) fields->set(name, value);
  if (!keep_alive) fields->set(http::field::connection, "close");
}

std::string Header(const http::fields& fields, http::field name) {
  const auto value = fields[name];
  return std::string(value.data(), value.size());
}
std::string Header(const http::fields& fields, const char* name) {
  const auto value = fields[name];
  return std::string(value.data(), value.size());
}

HttpRequest Take(http::request<http::string_body> message) {
  HttpRequest request;
  request.method = std::string(message.method_string().data(), message.method_string().size());
  request.target = std::string(message.target().data(), message.target().size());
  request.authorization = Header(message, http::field::authorization);
  request.content_type = Header(message, http::field::content_type);
  request.content_encoding = Header(message, http::field::content_encoding);
  request.accept_encoding = Header(message, http::field::accept_encoding);
  request.if_none_match = Header(message, http::field::if_none_match);
  request.connect_protocol_version = Header(message, "Connect-Protocol-Version");
  request.connect_timeout_ms = Header(message, "Connect-Timeout-Ms");
  request.body = std::move(message.body());
  return request;
}

Answer BadRequest(const error_code& error) {
  if (error == http::error::header_limit) {
    return ErrorAnswer(
        431, absl::ResourceExhaustedError(absl::StrCat(
                 "the headers of the request are longer than ", kMaxHeaderBytes, " bytes")));
  }
  if (error == http::error::body_limit) {
    return ErrorAnswer(
        413, absl::ResourceExhaustedError(
                 absl::StrCat("the body of the request is longer than ", kMaxBodyBytes, " bytes")));
  }
  return ErrorAnswer(
      absl::InvalidArgumentError(absl::StrCat("this is not HTTP/1.1: ", error.message())));
}

template <typename Stream>
class SessionOn final : public Session, public std::enable_shared_from_this<SessionOn<Stream>> {
 public:
  SessionOn(std::shared_ptr<Shard> shard, Stream stream)
      : shard_(std::move(shard)),
        shared_(shard_->shared),
        stream_(std::move(stream)),
        wake_(shard_->context, Clock::time_point::max()) {}

  // From the shard's thread.
  void Start() {
    shard_->sessions.insert(this);
    asio::co_spawn(shard_->context, Run(this->shared_from_this()), asio::detached);
  }

  void CheckDeadline(Clock::time_point now) override {
    if (now >= deadline_) Close();
  }
  void CloseIdle() override {
    if (idle_) Close();
  }
  void Abort() override {
    if (call_ != nullptr && !call_done_) call_->Cancel();
    Close();
  }

 private:
  using Parser = http::request_parser<http::string_body>;

  // Bytes of a body that count as pending while it comes.
  struct Pending {
    explicit Pending(Shared* s) : shared(s) {}
    ~Pending() { shared->pending_bytes -= bytes; }
    // False: there are too many.
    bool Set(int64_t now) {
      const int64_t total = shared->pending_bytes += now - bytes;
      bytes = now;
      return total <= kMaxPendingBytes;
    }
    Shared* const shared;
    int64_t bytes = 0;
  };

  static asio::awaitable<void> Run(std::shared_ptr<SessionOn> self) {
    try {
      co_await self->Serve();
    } catch (const std::exception& error) {
      base::LogError("a connection is given up", {{"error", error.what()}});
    }
    self->Close();
    // what was started must be over before the last reference goes
    while (self->reading_) co_await self->Pause();
    self->shard_->sessions.erase(self.get());
    self->shared_->Count(-1);
  }

  asio::awaitable<void> Serve() {
    Within(shared_->options.patience);
    if constexpr (!std::is_same_v<Stream, tcp::socket>) {
      error_code error;
      co_await stream_.async_handshake(ssl::stream_base::server, Into(error));
      if (error) co_return;
    }
    bool keep = true;
    while (keep) {
      // nothing of the next request is here: only then may the connection be closed without a word
      Within(shared_->options.idle);
      idle_ = buffer_.size() == 0;
      if (idle_ && shared_->draining) co_return;
      if (idle_) co_await Read(kReadBytes);
      idle_ = false;
      if (buffer_.size() == 0) co_return;
      keep = co_await ServeOne();
      if (buffer_.size() == 0 && !reading_) buffer_.shrink_to_fit();
    }
    co_await Linger();
  }

  // False: this was the last.
  asio::awaitable<bool> ServeOne() {
    Within(shared_->options.patience);
    std::optional<Parser> parser(std::in_place);
    parser->header_limit(kMaxHeaderBytes);
    parser->body_limit(kMaxBodyBytes);
    parser->eager(true);
    std::optional<Pending> pending(shared_);
    bool continued = false;
    while (!parser->is_done()) {
      error_code error;
      buffer_.consume(parser->put(buffer_.data(), error));
      if (error && error != http::error::need_more) {
        co_await Write(HttpRequest(), BadRequest(error), false);
        co_return false;
      }
      if (parser->is_done()) break;
      if (!pending->Set(parser->get().body().size())) {
        co_await Write(
            HttpRequest(),
            ErrorAnswer(absl::UnavailableError("the broker is busy: try again in a moment")),
            false);
        co_return false;
      }
      if (error != http::error::need_more && buffer_.size() > 0) continue;
      if (parser->is_header_done() && !continued) {
        continued = true;
        if (boost::beast::iequals(parser->get()[http::field::expect], "100-continue"))
          co_await WriteContinue();
      }
      co_await Read(parser->is_header_done() ? kReadBodyBytes : kReadBytes);
      if (read_error_) co_return false;
    }
    const bool keep = parser->keep_alive();
    const HttpRequest request = Take(parser->release());
    parser.reset();

    std::variant<Answer, std::unique_ptr<GatewayCall>> handled = shared_->gateway.Handle(request);
    Answer answer;
    if (auto* const call = std::get_if<std::unique_ptr<GatewayCall>>(&handled)) {
      deadline_ = Clock::time_point::max();  // the call has its own
      call_ = call->get();
      call_done_ = false;
      // its thread may still be in this function when this session has ended
      call_->Start([shard = shard_, this] {
        asio::post(shard->context, [this] {
          call_done_ = true;
          wake_.cancel();
        });
      });
      // a client that goes away ends its call; one that has sent more already is not looked after
      bool cancelled = false;
      while (!call_done_) {
        if (read_error_ && !cancelled) {
          cancelled = true;
          call_->Cancel();
        }
        if (buffer_.size() == 0) StartReading(kReadBytes);
        co_await Pause();
      }
      if (!read_error_) answer = call_->Finish();
      call_ = nullptr;
      call->reset();
      if (read_error_) co_return false;
    } else {
      answer = std::move(std::get<Answer>(handled));
    }
    pending.reset();
    Gateway::Encode(request, &answer);
    const bool more = keep && !shared_->draining;
    const bool written = co_await Write(request, std::move(answer), more);
    co_return written&& more;
  }

  // False: the client is gone.
  asio::awaitable<bool> Write(const HttpRequest& request, Answer answer, bool keep_alive) {
    // the body stays with `answer`
    const bool bodiless = request.method == "HEAD" || answer.status == 304;
    http::response<http::span_body<const char>> response(static_cast<http::status>(answer.status),
                                                         11);
    SetHeaders(answer, keep_alive, &response.base());
    if (answer.status != 304) response.content_length(answer.body->size());
    if (!bodiless)
      response.body() = boost::beast::span<const char>(answer.body->data(), answer.body->size());
    http::response_serializer<http::span_body<const char>> serializer(response);
    serializer.limit(kWriteBytes);
    while (!serializer.is_done()) {
      Within(shared_->options.patience);
      error_code error;
      co_await http::async_write_some(stream_, serializer, Into(error));
      if (error) co_return false;
    }
    co_return true;
  }

  asio::awaitable<void> WriteContinue() {
    static constexpr absl::string_view kContinue = "HTTP/1.1 100 Continue\r\n\r\n";
    error_code error;
    // a client that is gone is noticed by the next read
    co_await asio::async_write(stream_, asio::buffer(kContinue.data(), kContinue.size()),
                               Into(error));
  }

  // Lets the client read what was written before the connection goes.
  asio::awaitable<void> Linger() {
    error_code ignored;
    stream_.lowest_layer().shutdown(tcp::socket::shutdown_send, ignored);
    Within(kLinger);
    size_t read = 0;
    while (!read_error_ && read < kLingerBytes) {
      co_await Read(kReadBodyBytes);
      read += buffer_.size();
      buffer_.consume(buffer_.size());
    }
  }

  // Reads something into the buffer, or sets read_error_.
  asio::awaitable<void> Read(size_t bytes) {
    StartReading(bytes);
    while (reading_) co_await Pause();
  }

  // The buffer is not to be touched until reading_ is false again.
  void StartReading(size_t bytes) {
    if (reading_ || read_error_) return;
    reading_ = true;
    stream_.async_read_some(buffer_.prepare(bytes), [this](const error_code& error, size_t count) {
      reading_ = false;
      read_error_ = error;
      buffer_.commit(count);
      wake_.cancel();
    });
  }

  // Until something has happened; look again at what.
  asio::awaitable<void> Pause() {
    error_code ignored;
    co_await wake_.async_wait(Into(ignored));
  }

  void Within(Clock::duration duration) { deadline_ = Clock::now() + duration; }

  void Close() {
    deadline_ = Clock::time_point::max();
    error_code ignored;
    stream_.lowest_layer().close(ignored);
  }

  const std::shared_ptr<Shard> shard_;
  Shared* const shared_;
  Stream stream_;
  // Cancelled whenever something has happened; never runs out.
  asio::steady_timer wake_;
  Clock::time_point deadline_ = Clock::time_point::max();
  boost::beast::flat_buffer buffer_;
  bool reading_ = false;
  error_code read_error_;
  bool idle_ = false;
  GatewayCall* call_ = nullptr;
  bool call_done_ = false;
};

class HttpServerImpl final : public HttpServer {
 public:
  HttpServerImpl(const HttpOptions& options, const std::shared_ptr<grpc::Channel>& channel,
                 std::function<void()> on_drain, Pages pages, std::unique_ptr<Tls> tls)
      : shared_(options, channel, std::move(pages)),
        on_drain_(std::move(on_drain)),
        tls_(std::move(tls)) {
    for (int i = 0; i < kThreads; ++i) shards_.push_back(std::make_shared<Shard>(&shared_));
    acceptor_.emplace(shards_[0]->context);
  }
  ~HttpServerImpl() override { Drain(absl::ZeroDuration()); }

  const std::string& url() const override { return url_; }

  absl::Status Listen(const tcp::endpoint& endpoint, const std::string& host) {
    error_code error;
    acceptor_->open(endpoint.protocol(), error);
    if (!error) acceptor_->set_option(tcp::acceptor::reuse_address(true), error);
    if (!error) acceptor_->bind(endpoint, error);
    if (!error) acceptor_->listen(tcp::acceptor::max_listen_connections, error);
    if (error) {
      acceptor_->close(error);
      return absl::UnavailableError(
          absl::StrCat("cannot listen for HTTP on '", shared_.options.listen,
                       "': the address is taken, or not of this machine"));
    }
    url_ = absl::StrCat(tls_ == nullptr ? "http://" : "https://", host, ":",
                        acceptor_->local_endpoint().port());
    return absl::OkStatus();
  }

  void Run(int64_t max_connections) {
    max_connections_ = max_connections;
    asio::co_spawn(shards_[0]->context, Accept(), asio::detached);
    for (const std::shared_ptr<Shard>& shard : shards_) {
      asio::co_spawn(shard->context, Sweep(shard.get()), asio::detached);
      shard->thread = std::thread([shard = shard.get()] { shard->context.run(); });
    }
  }

  void Drain(absl::Duration grace) override {
    if (drained_) return;
    drained_ = true;
    shared_.draining = true;
    on_drain_();
    if (shards_[0]->thread.joinable()) {
      std::promise<void> closed;
      asio::post(shards_[0]->context, [&] {
        error_code ignored;
        acceptor_->close(ignored);
        closed.set_value();
      });
      closed.get_future().wait();  // whatever was accepted is counted now
    }
    ForAll([](Session* session) { session->CloseIdle(); });
    if (!AwaitEnd(Clock::now() + absl::ToChronoMilliseconds(grace))) {
      ForAll([](Session* session) { session->Abort(); });
      (void)AwaitEnd(Clock::time_point::max());
    }
    for (const std::shared_ptr<Shard>& shard : shards_) {
      asio::post(shard->context, [shard = shard.get()] { shard->sweep.cancel(); });
      shard->work.reset();
      if (shard->thread.joinable()) shard->thread.join();
    }
  }

 private:
  void ForAll(void (*act)(Session*)) {
    for (const std::shared_ptr<Shard>& shard : shards_) {
      asio::post(shard->context, [shard = shard.get(), act] {
        const std::set<Session*> sessions = shard->sessions;
        for (Session* session : sessions) act(session);
      });
    }
  }

  // False: not by then.
  bool AwaitEnd(Clock::time_point until) {
    base::MutexLock lock(&shared_.mutex);
    while (shared_.connections > 0) {
      const Clock::time_point now = Clock::now();
      if (now >= until) return false;
      shared_.ended.WaitFor(&shared_.mutex,
                            std::min<Clock::duration>(until - now, std::chrono::seconds(1)));
    }
    return true;
  }

  asio::awaitable<void> Sweep(Shard* shard) {
    while (!shared_.draining || !shard->sessions.empty()) {
      shard->sweep.expires_after(kSweep);
      error_code ignored;
      co_await shard->sweep.async_wait(Into(ignored));
      const Clock::time_point now = Clock::now();
      for (Session* session : shard->sessions) session->CheckDeadline(now);
    }
  }

  asio::awaitable<void> Accept() {
    asio::steady_timer pause(shards_[0]->context);
    Clock::time_point warn_at = Clock::time_point::min();
    size_t next = 0;
    while (!shared_.draining) {
      const std::shared_ptr<Shard>& shard = shards_[next++ % shards_.size()];
      tcp::socket socket(shard->context);
      error_code error;
      co_await acceptor_->async_accept(socket, Into(error));
      if (shared_.draining) co_return;
      const bool full = shared_.Connections() >= max_connections_;
      if (error || full) {
        if (Clock::now() >= warn_at) {
          warn_at = Clock::now() + std::chrono::minutes(1);
          base::LogWarning("connections are turned away",
                           {{"reason", full ? std::string("too many are open") : error.message()}});
        }
        if (error) {  // out of files, most likely
          pause.expires_after(std::chrono::milliseconds(100));
          co_await pause.async_wait(Into(error));
        }
        continue;
      }
      socket.set_option(tcp::no_delay(true), error);
      shared_.Count(1);
      if (tls_ == nullptr) {
        Hand(shard, std::make_shared<SessionOn<tcp::socket>>(shard, std::move(socket)));
      } else {
        Hand(shard, std::make_shared<SessionOn<ssl::stream<tcp::socket>>>(
                        shard, ssl::stream<tcp::socket>(std::move(socket), *tls_->Current())));
      }
    }
  }

  template <typename Started>
  static void Hand(const std::shared_ptr<Shard>& shard, std::shared_ptr<Started> session) {
    asio::post(shard->context, [session = std::move(session)] { session->Start(); });
  }

  Shared shared_;
  const std::function<void()> on_drain_;
  const std::unique_ptr<Tls> tls_;
  std::vector<std::shared_ptr<Shard>> shards_;
  std::optional<tcp::acceptor> acceptor_;
  std::string url_;
  int64_t max_connections_ = 0;
  bool drained_ = false;
};

// How many connections there may be, once the soft limit is the hard limit.
int64_t RaiseFileLimit() {
  rlimit limit = {};
  if (getrlimit(RLIMIT_NOFILE, &limit) != 0) return kMaxConnections;
  limit.rlim_cur = limit.rlim_max;
  if (setrlimit(RLIMIT_NOFILE, &limit) != 0) getrlimit(RLIMIT_NOFILE, &limit);
  const auto files =
      static_cast<int64_t>(std::min<rlim_t>(limit.rlim_cur, kMaxConnections + kSparedFiles));
  return std::max<int64_t>(files - kSparedFiles, 16);
}

}  // namespace

absl::StatusOr<std::unique_ptr<HttpServer>> HttpServer::Start(
    const HttpOptions& options, const std::shared_ptr<grpc::Channel>& channel,
    std::function<void()> on_drain) {
  const size_t colon = options.listen.rfind(':');
  int port = 0;
  if (colon == std::string::npos || colon == 0 ||
      !absl::SimpleAtoi(options.listen.substr(colon + 1), &port) || port < 0 || port > 65535) {
    return absl::InvalidArgumentError(
        absl::StrCat("--http_listen is '", options.listen,
                     "', but must be host:port, such as 127.0.0.1:8080 or [::]:8080"));
  }
  if (options.tls_certificate.empty() != options.tls_key.empty()) {
    return absl::InvalidArgumentError(
        "--tls_certificate and --tls_key belong together: give both or neither");
  }
  const std::string host = options.listen.substr(0, colon);
  absl::string_view bare = host;
  if (absl::ConsumePrefix(&bare, "[")) absl::ConsumeSuffix(&bare, "]");
  asio::io_context resolving;
  tcp::resolver resolver(resolving);
  error_code error;
  const auto found =
      resolver.resolve(std::string(bare), std::to_string(port),
                       tcp::resolver::passive | tcp::resolver::numeric_service, error);
  if (error || found.empty()) {
    return absl::UnavailableError(absl::StrCat("cannot listen for HTTP on '", options.listen,
                                               "': the host is not known: ", error.message()));
  }
  std::vector<tcp::endpoint> endpoints;
  for (const auto& entry : found) endpoints.push_back(entry.endpoint());
  const bool loopback = std::all_of(endpoints.begin(), endpoints.end(), [](const tcp::endpoint& e) {
    return e.address().is_loopback();
  });
  if (!loopback && options.tls_certificate.empty() && options.public_url.empty()) {
    return absl::InvalidArgumentError(absl::StrCat(
        "--http_listen ", options.listen,
        " can be reached from other machines, and without TLS whoever is on the way could read "
        "tokens and answers: give --tls_certificate and --tls_key, or --public_url if a proxy with "
        "TLS is in front, or listen on 127.0.0.1"));
  }
  std::unique_ptr<Tls> tls;
  if (!options.tls_certificate.empty()) {
    ASSIGN_OR_RETURN(tls, Tls::Load(options.tls_certificate, options.tls_key, options.renewal));
  }
  Pages pages;
  if (!options.web.empty()) {
    ASSIGN_OR_RETURN(pages, Pages::Read(options.web));
  }
  const int64_t max_connections = RaiseFileLimit();
  auto server = std::make_unique<HttpServerImpl>(options, channel, std::move(on_drain),
                                                 std::move(pages), std::move(tls));
  absl::Status listening;
  for (const tcp::endpoint& endpoint : endpoints) {
    listening = server->Listen(endpoint, host);
    if (listening.ok()) break;
  }
  RETURN_IF_ERROR(listening);
  server->Run(max_connections);
  return server;
}

}  // namespace backflip::preference_broker
