// Hosts that simulate: let in by a token that is good once, with a certificate of their own where
// the broker asks for one, and cut off.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <stdlib.h>

#include <filesystem>
#include <fstream>
#include <memory>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "backflip/v1/workers.grpc.pb.h"
#include "cli/launcher/subprocess.h"
#include "common/rpc/certificates.h"
#include "common/rpc/collect_token.h"
#include "common/rpc/transport.h"
#include "tests/support/test_broker.h"
#include "tests/support/test_database.h"

namespace backflip::testing {
namespace {

using preference_broker::Role;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using Workers = v1::WorkerService::Stub;

class WorkersTest : public ::testing::Test {
 protected:
  template <typename Request, typename Response>
  absl::StatusOr<Response> As(const Peer& peer,
                              grpc::Status (Workers::*method)(grpc::ClientContext*, const Request&,
                                                              Response*),
                              const Request& request) {
    const std::unique_ptr<Workers> stub = v1::WorkerService::NewStub(peer.client.channel());
    return peer.Call(stub, method, request);
  }
  const Peer& Operator() { return broker_.As(Role::kOperator); }

  std::string Invite(const std::string& name) {
    v1::InviteWorkerRequest request;
    request.set_request_id(NewId());
    request.set_name(name);
    const auto invite = As(Operator(), &Workers::Invite, request);
    EXPECT_TRUE(invite.ok()) << invite.status();
    return invite.ok() ? invite->secret() : "";
  }
  absl::StatusOr<v1::JoinResponse> Join(const std::string& secret,
                                        const std::string& request_id = NewId()) {
    v1::JoinRequest request;
    request.set_secret(secret);
    request.set_request_id(request_id);
    return As(Peer(rpc::Client(broker_.address(), "")), &Workers::Join, request);
  }
  absl::Status Ask(const std::string& token) {
    const Peer worker(rpc::Client(broker_.address(), token));
    return worker
        .Call(worker.work, &v1::WorkService::Stub::AssignWork,
              Parse<v1::AssignWorkRequest>("worker: 'w' threads: 1"))
        .status();
  }
  absl::StatusOr<v1::Worker> Revoke(const std::string& name) {
    v1::RevokeWorkerRequest request;
    request.set_name(name);
    return As(Operator(), &Workers::Revoke, request);
  }
  std::vector<std::string> List() {
    const auto list = As(Operator(), &Workers::List, v1::ListWorkersRequest());
    EXPECT_TRUE(list.ok()) << list.status();
    std::vector<std::string> lines;
    for (const v1::Worker& worker : list->workers()) {
      if (worker.name() == "worker") continue;  // the test broker's own
      lines.push_back(absl::StrCat(worker.name(), " ", v1::WorkerState_Name(worker.state())));
      for (const int64_t run : worker.run_ids()) absl::StrAppend(&lines.back(), " ", run);
    }
    return lines;
  }

  TestBroker broker_;
};

TEST_F(WorkersTest, ATokenForJoiningIsGoodOnceAndForNothingElse) {
  const std::string secret = Invite("host-7");
  EXPECT_THAT(List(), ElementsAre("host-7 INVITED"));
  EXPECT_TRUE(absl::IsUnauthenticated(Ask(secret))) << Ask(secret);
  const auto joined = Join(secret);
  ASSERT_TRUE(joined.ok()) << joined.status();
  EXPECT_EQ(joined->name(), "host-7");
  EXPECT_EQ(joined->certificate(), "");
  EXPECT_TRUE(Ask(joined->token()).ok()) << Ask(joined->token());
  EXPECT_THAT(List(), ElementsAre("host-7 JOINED"));
  const absl::Status again = Join(secret).status();
  EXPECT_TRUE(absl::IsUnauthenticated(again)) << again;
  EXPECT_THAT(again.message(), HasSubstr("was used before"));
  EXPECT_TRUE(absl::IsUnauthenticated(Join("a guess").status()));
  // nor is a worker's own token one for joining
  EXPECT_TRUE(absl::IsUnauthenticated(Join(joined->token()).status()));
}

TEST_F(WorkersTest, AJoinWhoseAnswerWasLostIsRepeatedUntilItsTokenIsUsed) {
  const std::string secret = Invite("host-7"), id = NewId();
  const auto lost = Join(secret, id), found = Join(secret, id);
  ASSERT_TRUE(lost.ok()) << lost.status();
  ASSERT_TRUE(found.ok()) << found.status();
  EXPECT_TRUE(absl::IsUnauthenticated(Ask(lost->token())));
  EXPECT_TRUE(Ask(found->token()).ok());
  EXPECT_TRUE(absl::IsUnauthenticated(Join(secret, id).status()));
}

TEST_F(WorkersTest, NobodyJoinsByATokenThatExpiredOrWasRevokedOrReplaced) {
  const std::string late = Invite("late");
  Query(broker_.database(), "UPDATE tokens SET expires_at = now() WHERE joins");
  EXPECT_THAT(Join(late).status().message(), HasSubstr("has expired"));
  const std::string unwanted = Invite("unwanted");
  ASSERT_TRUE(Revoke("unwanted").ok());
  EXPECT_THAT(Join(unwanted).status().message(), HasSubstr("revoked"));
  v1::InviteWorkerRequest request;
  request.set_request_id(NewId());
  request.set_name("twice");
  const auto first = As(Operator(), &Workers::Invite, request),
             second = As(Operator(), &Workers::Invite, request);
  ASSERT_TRUE(first.ok() && second.ok());
  EXPECT_TRUE(absl::IsUnauthenticated(Join(first->secret()).status()));
  EXPECT_TRUE(Join(second->secret()).ok());
}

TEST_F(WorkersTest, ARevokedWorkerIsRefusedAndFoundOutByLearnersAndMayBeInvitedAnew) {
  const int64_t run = broker_.CreateRun().id();
  const v1::ClaimResponse claim = broker_.Claim(Role::kLearner);
  const Peer& learner = broker_.As(Role::kLearner);
  ASSERT_TRUE(learner
                  .Call(learner.claims, &v1::ClaimService::Stub::Renew,
                        Parse<v1::RenewClaimRequest>(absl::StrCat(
                            "run_id: ", run, " epoch: ", claim.epoch(), " wanted_steps: 100")))
                  .ok());
  const auto joined = Join(Invite("host-7")), other = Join(Invite("host-8"));
  ASSERT_TRUE(joined.ok() && other.ok());
  const Peer worker(rpc::Client(broker_.address(), joined->token())),
      healthy(rpc::Client(broker_.address(), other->token()));
  v1::FindRefusedRequest find;
  for (const Peer* peer : {&worker, &healthy}) {
    const auto assignment = peer->Call(peer->work, &v1::WorkService::Stub::AssignWork,
                                       Parse<v1::AssignWorkRequest>(absl::StrCat(
                                           "worker: 'w", find.token_ids_size(), "' threads: 1")));
    ASSERT_TRUE(assignment.ok()) << assignment.status();
    ASSERT_EQ(assignment->run_id(), run);
    find.add_token_ids(rpc::HolderOf(assignment->collect_token(), claim.collect_token()));
    ASSERT_NE(find.token_ids(find.token_ids_size() - 1), 0);
  }
  EXPECT_THAT(List(), ElementsAre(absl::StrCat("host-7 JOINED ", run),
                                  absl::StrCat("host-8 JOINED ", run)));
  EXPECT_THAT(As(learner, &Workers::FindRefused, find)->token_ids(), ElementsAre());

  const auto revoked = Revoke("host-7");
  ASSERT_TRUE(revoked.ok()) << revoked.status();
  EXPECT_EQ(revoked->state(), v1::CUT_OFF);
  EXPECT_TRUE(absl::IsUnauthenticated(Ask(joined->token())));
  EXPECT_TRUE(absl::IsUnauthenticated(
      worker.Call(worker.clips, &v1::ClipService::Stub::Upload, v1::UploadClipsRequest())
          .status()));
  EXPECT_THAT(As(learner, &Workers::FindRefused, find)->token_ids(),
              ElementsAre(find.token_ids(0)));
  EXPECT_THAT(List(), ElementsAre("host-7 CUT_OFF", absl::StrCat("host-8 JOINED ", run)));
  EXPECT_TRUE(Revoke("host-7").ok());
  EXPECT_TRUE(absl::IsNotFound(Revoke("nobody").status()));
  // not a worker
  EXPECT_TRUE(absl::IsNotFound(Revoke("operator").status()));

  const auto anew = Join(Invite("host-7"));
  ASSERT_TRUE(anew.ok()) << anew.status();
  EXPECT_TRUE(Ask(anew->token()).ok());
  EXPECT_TRUE(absl::IsUnauthenticated(Ask(joined->token())));
}

// A broker with mutual TLS, and certificates as deploy/certificates makes them.
class WorkerCertificates : public ::testing::Test {
 protected:
  void SetUp() override {
    char folder[] = "/tmp/backflip-certificates-XXXXXX";
    ASSERT_NE(mkdtemp(folder), nullptr);
    folder_ = folder;
    for (const char* name : {"/ours", "/others"}) {
      const auto made = cli::Run({.argv = {BACKFLIP_CERTIFICATES, folder_ + name}});
      ASSERT_TRUE(made.ok()) << made.status();
    }
    ASSERT_TRUE(rpc::SetTransport({.certificate = folder_ + "/ours/broker.pem",
                                   .key = folder_ + "/ours/broker.key",
                                   .ca = folder_ + "/ours/ca.pem"})
                    .ok());
    preference_broker::BrokerOptions options;
    options.listen = "localhost:0";
    options.worker_authority = folder_ + "/ours/worker-authority.pem";
    broker_ = std::make_unique<TestBroker>(options);
  }
  void TearDown() override {
    broker_.reset();
    ASSERT_TRUE(rpc::SetTransport({}).ok());
    std::filesystem::remove_all(folder_);
  }

  // The broker for a client with these files; empty: no certificate.
  std::unique_ptr<Peer> Dial(const std::string& certificate, const std::string& key,
                             const std::string& token) {
    EXPECT_TRUE(
        rpc::SetTransport({.certificate = certificate, .key = key, .ca = Ours("ca.pem")}).ok());
    return std::make_unique<Peer>(rpc::Client(broker_->address(), token));
  }
  std::string Ours(const std::string& name) const { return folder_ + "/ours/" + name; }
  std::string Others(const std::string& name) const { return folder_ + "/others/" + name; }
  static absl::Status List(const Peer& peer) {
    const std::unique_ptr<Workers> stub = v1::WorkerService::NewStub(peer.client.channel());
    return peer.Call(stub, &Workers::List, v1::ListWorkersRequest()).status();
  }
  static absl::Status Ask(const Peer& peer) {
    return peer
        .Call(peer.work, &v1::WorkService::Stub::AssignWork,
              Parse<v1::AssignWorkRequest>("worker: 'w' threads: 1"))
        .status();
  }

  bool WriteFile(const std::string& name, const std::string& text) const {
    std::ofstream file(folder_ + "/" + name);
    return static_cast<bool>(file << text << std::flush);
  }

  std::string folder_;
  std::unique_ptr<TestBroker> broker_;
};

TEST_F(WorkerCertificates, WhoHasNoneMayJoinAndNothingElse) {
  const std::string operator_token = broker_->Token(Role::kOperator);
  const auto stranger = Dial("", "", operator_token);
  const absl::Status refused = List(*stranger);
  EXPECT_TRUE(absl::IsUnauthenticated(refused)) << refused;
  EXPECT_THAT(refused.message(), HasSubstr("client certificate"));
  const auto foreign = Dial(Others("client.pem"), Others("client.key"), operator_token);
  EXPECT_TRUE(absl::IsUnavailable(List(*foreign))) << List(*foreign);

  const auto boss = Dial(Ours("client.pem"), Ours("client.key"), operator_token);
  v1::InviteWorkerRequest invite;
  invite.set_request_id(NewId());
  invite.set_name("host-7");
  const auto as_operator = v1::WorkerService::NewStub(boss->client.channel());
  const auto invited = boss->Call(as_operator, &Workers::Invite, invite);
  ASSERT_TRUE(invited.ok()) << invited.status();

  const auto host = Dial("", "", "");
  const auto key = rpc::MakeKeyPair();
  ASSERT_TRUE(key.ok());
  v1::JoinRequest join;
  join.set_secret(invited->secret());
  join.set_request_id(NewId());
  const auto as_host = v1::WorkerService::NewStub(host->client.channel());
  const absl::Status keyless = host->Call(as_host, &Workers::Join, join).status();
  EXPECT_TRUE(absl::IsInvalidArgument(keyless)) << keyless;
  join.set_public_key(key->public_key);
  const auto joined = host->Call(as_host, &Workers::Join, join);
  ASSERT_TRUE(joined.ok()) << joined.status();

  ASSERT_TRUE(WriteFile("host.pem", joined->certificate()));
  ASSERT_TRUE(WriteFile("host.key", key->key));
  const auto worker = Dial(folder_ + "/host.pem", folder_ + "/host.key", joined->token());
  EXPECT_TRUE(Ask(*worker).ok()) << Ask(*worker);
  // no token, no call
  const auto bare = Dial(folder_ + "/host.pem", folder_ + "/host.key", "");
  EXPECT_TRUE(absl::IsUnauthenticated(Ask(*bare)));
}

// What workers are given cannot stand for a server, whoever holds its authority's key.
TEST_F(WorkerCertificates, AWorkersCertificateIsNoServers) {
  const auto authority = rpc::Authority::Read(Ours("worker-authority.pem"));
  ASSERT_TRUE(authority.ok()) << authority.status();
  const auto key = rpc::MakeKeyPair();
  ASSERT_TRUE(key.ok());
  const auto certificate = authority->Sign(key->public_key, "localhost");
  ASSERT_TRUE(certificate.ok()) << certificate.status();
  ASSERT_TRUE(WriteFile("host.pem", *certificate));
  const auto verify = [&](const std::string& purpose) {
    return cli::Run({.argv = {"openssl", "verify", "-purpose", purpose, "-CAfile", Ours("ca.pem"),
                              "-untrusted", folder_ + "/host.pem", folder_ + "/host.pem"}})
        .status();
  };
  EXPECT_TRUE(verify("sslclient").ok()) << verify("sslclient");
  EXPECT_FALSE(verify("sslserver").ok());
  EXPECT_TRUE(absl::IsInvalidArgument(authority->Sign("no key", "localhost").status()));
  EXPECT_TRUE(absl::IsInvalidArgument(rpc::Authority::Read(Ours("ca.pem")).status()));
}

}  // namespace
}  // namespace backflip::testing
