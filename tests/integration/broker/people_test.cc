// Invites, states and retractions: who gets in, who is let go, and what stays of them.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "tests/integration/broker/fixtures.h"
#include "tests/support/await.h"
#include "tests/support/test_broker.h"
#include "tests/support/test_database.h"

namespace backflip::testing {
namespace {

using preference_broker::Role;
using ::testing::HasSubstr;
using People = v1::PeopleService::Stub;
using Labeling = v1::LabelingService::Stub;

class PeopleTest : public ::testing::Test {
 protected:
  static v1::InviteRequest Personal(const std::string& name) {
    v1::InviteRequest request;
    request.set_request_id(NewId());
    request.set_role(v1::INVITE_LABELER);
    request.set_name(name);
    return request;
  }
  absl::StatusOr<v1::InviteResponse> Invite(const v1::InviteRequest& request) {
    const Peer& peer = broker_.As(Role::kOperator);
    return peer.Call(peer.people, &People::Invite, request);
  }
  std::string Secret(const v1::InviteRequest& request) {
    const auto invite = Invite(request);
    EXPECT_TRUE(invite.ok()) << invite.status();
    return invite.ok() ? invite->secret() : "";
  }
  // As a browser that has no token yet.
  absl::StatusOr<v1::InviteDescription> Describe(const std::string& secret) {
    v1::DescribeInviteRequest request;
    request.set_secret(secret);
    return nobody_.Call(nobody_.people, &People::DescribeInvite, request);
  }
  absl::StatusOr<v1::AcceptInviteResponse> Accept(const std::string& secret,
                                                  const std::string& outside_id = "",
                                                  const std::string& request_id = NewId(),
                                                  const std::string& token = "") {
    v1::AcceptInviteRequest request;
    request.set_secret(secret);
    request.set_outside_id(outside_id);
    request.set_request_id(request_id);
    const Peer peer = With(token);
    return peer.Call(peer.people, &People::AcceptInvite, request);
  }
  std::string Group(int cap) {
    v1::InviteRequest request = Personal("crowd");
    request.mutable_group()->set_cap(cap);
    return Secret(request);
  }
  absl::StatusOr<v1::Labeler> Reset(const std::string& name) {
    const Peer& peer = broker_.As(Role::kOperator);
    v1::ResetLabelerRequest request;
    request.set_name(name);
    return peer.Call(peer.people, &People::ResetLabeler, request);
  }
  std::vector<v1::InviteState> Invites() {
    const Peer& peer = broker_.As(Role::kOperator);
    const auto response = peer.Call(peer.people, &People::ListInvites, v1::ListInvitesRequest());
    EXPECT_TRUE(response.ok()) << response.status();
    if (!response.ok()) return {};
    return {response->invites().begin(), response->invites().end()};
  }
  absl::StatusOr<v1::InviteState> SetCap(int64_t invite_id, int cap) {
    const Peer& peer = broker_.As(Role::kOperator);
    v1::SetInviteCapRequest request;
    request.set_invite_id(invite_id);
    request.set_cap(cap);
    return peer.Call(peer.people, &People::SetInviteCap, request);
  }
  absl::StatusOr<v1::InviteState> Withdraw(int64_t invite_id) {
    const Peer& peer = broker_.As(Role::kOperator);
    v1::WithdrawInviteRequest request;
    request.set_invite_id(invite_id);
    return peer.Call(peer.people, &People::WithdrawInvite, request);
  }
  // Everybody who has a place has had it for longer than an hour.
  void AnHourPasses() {
    Sql("UPDATE callers SET place_since = place_since - interval '61 minutes'");
  }
  void ExpectEnded(const Peer& peer) {
    EXPECT_TRUE(Await([&] { return !GetSession(peer).ok(); }));
    EXPECT_EQ(Code(GetSession(peer)), absl::StatusCode::kUnauthenticated);
  }
  Peer With(const std::string& token) { return Peer(rpc::Client(broker_.address(), token)); }
  static absl::StatusOr<v1::Session> GetSession(const Peer& peer, int64_t run_id = 0) {
    v1::GetSessionRequest request;
    request.set_run_id(run_id);
    return peer.Call(peer.labeling, &Labeling::GetSession, request);
  }
  void OpenRun(int questions, const std::string& spec = "labels: 1000", int overlap = 1) {
    run_ = broker_.CreateRun(spec);
    (void)broker_.Claim(Role::kLearner);
    const v1::ClaimResponse trainer = broker_.Claim(Role::kTrainer);
    ASSERT_TRUE(broker_
                    .Open(run_.id(), trainer.epoch(), 0,
                          broker_.Upload(run_.id(), 0, 2 * questions), overlap)
                    .ok());
  }
  static absl::StatusOr<v1::LeaseResponse> Lease(const Peer& peer, int64_t run_id = 0) {
    v1::LeaseRequest request;
    request.set_run_id(run_id);
    return peer.Call(peer.labeling, &Labeling::Lease, request);
  }
  static absl::StatusOr<v1::SubmitResponse> AnswerOne(const Peer& peer,
                                                      v1::Choice choice = v1::LEFT) {
    const auto leased = Lease(peer);
    if (!leased.ok()) return leased.status();
    if (leased->questions_size() == 0)
      return absl::NotFoundError(v1::NothingToLabel_Name(leased->none()));
    return Submit(peer, AnswerTo(leased->questions(0).lease_id(), choice));
  }
  absl::StatusOr<v1::Labeler> SetState(const std::string& name, v1::LabelerState state,
                                       Role as = Role::kOperator) {
    const Peer& peer = broker_.As(as);
    v1::SetLabelerStateRequest request;
    request.set_name(name);
    request.set_state(state);
    request.set_reason("too fast");
    return peer.Call(peer.people, &People::SetLabelerState, request);
  }
  std::string Sql(const std::string& sql) { return Query(broker_.database(), sql); }

  TestBroker broker_;
  Peer nobody_{rpc::Client(broker_.address(), "")};
  v1::Run run_;
};

TEST_F(PeopleTest, ALinkIsUsedUpByStartAndNotByLooking) {
  const std::string secret = Secret(Personal("Ada"));
  EXPECT_EQ(secret.size(), 43u);
  for (int i = 0; i < 3; ++i) {
    const auto invite = Describe(secret);
    ASSERT_TRUE(invite.ok()) << invite.status();
    EXPECT_EQ(invite->name(), "Ada");
    EXPECT_FALSE(invite->needs_outside_id());
  }
  const auto accepted = Accept(secret);
  ASSERT_TRUE(accepted.ok()) << accepted.status();
  EXPECT_EQ(accepted->token().size(), 43u);
  EXPECT_EQ(accepted->role(), v1::INVITE_LABELER);
  const auto session = GetSession(With(accepted->token()));
  ASSERT_TRUE(session.ok()) << session.status();
  EXPECT_EQ(session->name(), "Ada");
  EXPECT_EQ(Code(Accept(secret)), absl::StatusCode::kNotFound);
  EXPECT_THAT(std::string(Describe(secret).status().message()), HasSubstr("used before"));
  // stored by hash alone
  EXPECT_EQ(Sql("SELECT count(*) FROM tokens WHERE encode(sha256, 'escape') LIKE '%" +
                accepted->token() + "%'"),
            "0");
}

TEST_F(PeopleTest, ARepeatedStartGivesOneToken) {
  const std::string secret = Secret(Personal("Ada")), id = NewId();
  const auto lost = Accept(secret, "", id);
  const auto again = Accept(secret, "", id);
  ASSERT_TRUE(lost.ok() && again.ok()) << again.status();
  EXPECT_TRUE(GetSession(With(again->token())).ok());
  EXPECT_EQ(Code(GetSession(With(lost->token()))), absl::StatusCode::kUnauthenticated);
  EXPECT_EQ(Sql("SELECT count(*) FROM callers WHERE name = 'Ada'"), "1");
}

TEST_F(PeopleTest, ARepeatedInviteVoidsTheLinkBefore) {
  const v1::InviteRequest request = Personal("Ada");
  const std::string first = Secret(request), second = Secret(request);
  EXPECT_EQ(Code(Describe(first)), absl::StatusCode::kNotFound);
  EXPECT_TRUE(Describe(second).ok());
  v1::InviteRequest other = request;
  other.set_name("Bob");
  EXPECT_EQ(Code(Invite(other)), absl::StatusCode::kAlreadyExists);
  EXPECT_EQ(Code(Invite(Personal("Ada"))), absl::StatusCode::kAlreadyExists);
}

TEST_F(PeopleTest, ForgedAndExpiredInvitesAreRefused) {
  EXPECT_EQ(Code(Describe("a guess")), absl::StatusCode::kNotFound);
  EXPECT_EQ(Code(Accept("a guess")), absl::StatusCode::kNotFound);
  const std::string secret = Secret(Personal("Ada"));
  Sql("UPDATE invites SET expires_at = now()");
  EXPECT_THAT(std::string(Accept(secret).status().message()), HasSubstr("expired"));
  v1::InviteRequest past = Personal("Bob");
  past.set_expires_ms(1);
  EXPECT_EQ(Code(Invite(past)), absl::StatusCode::kInvalidArgument);
}

TEST_F(PeopleTest, NamesAreTextOnOneLine) {
  for (const std::string& bad :
       {std::string(), std::string(65, 'x'), std::string("a\nb"), std::string("a\x07") + "b",
        std::string("a\0b", 3), std::string("\xE2\x80\xAE") + "gnp.exe", std::string(" a"),
        std::string("\xC2\x85"), std::string("\xED\xA0\x80")}) {
    // what is no UTF-8 never leaves the client
    EXPECT_FALSE(Invite(Personal(bad)).ok()) << bad;
  }
  const std::string html = "<b onclick='x'>Zo\xC3\xAB</b>";
  const auto accepted = Accept(Secret(Personal(html)));
  ASSERT_TRUE(accepted.ok()) << accepted.status();
  EXPECT_EQ(accepted->name(), html);
}

TEST_F(PeopleTest, AGroupMakesOneLabelerForEachOutsideId) {
  v1::InviteRequest request = Personal("crowd");
  request.mutable_group()->set_cap(2);
  request.mutable_group()->set_consent("You answer.\nWe pay.");
  request.mutable_group()->set_price("12 EUR an hour");
  request.mutable_group()->set_completion_code("DONE-1");
  request.mutable_group()->set_redirect_url("https://platform.example/done?cc=DONE-1");
  request.set_answers_wanted(2);
  const std::string secret = Secret(request);
  const auto invite = Describe(secret);
  ASSERT_TRUE(invite.ok()) << invite.status();
  EXPECT_TRUE(invite->needs_outside_id());
  EXPECT_EQ(invite->price(), "12 EUR an hour");
  EXPECT_EQ(Code(Accept(secret)), absl::StatusCode::kInvalidArgument);
  const auto first = Accept(secret, "p1"), second = Accept(secret, "p2");
  ASSERT_TRUE(first.ok() && second.ok()) << second.status();
  EXPECT_NE(first->name(), second->name());

  OpenRun(4);
  const Peer peer = With(first->token());
  EXPECT_EQ(GetSession(peer)->completion_code(), "");
  ASSERT_TRUE(AnswerOne(peer).ok());
  ASSERT_TRUE(AnswerOne(peer).ok());
  const auto done = Lease(peer);
  ASSERT_TRUE(done.ok()) << done.status();
  EXPECT_EQ(done->none(), v1::SESSION_COMPLETE);
  EXPECT_EQ(done->completion_code(), "DONE-1");
  EXPECT_EQ(done->redirect_url(), "https://platform.example/done?cc=DONE-1");
  EXPECT_EQ(GetSession(peer)->completion_code(), "DONE-1");
}

TEST_F(PeopleTest, AnIdIsNoPassword) {
  const std::string secret = Group(2);
  const auto first = Accept(secret, "p1");
  ASSERT_TRUE(first.ok()) << first.status();
  // somebody else who knows the id, with or without a token of their own
  EXPECT_EQ(Code(Accept(secret, "p1")), absl::StatusCode::kAlreadyExists);
  const auto other = Accept(secret, "p2");
  const auto thief = Accept(secret, "p1", NewId(), other->token());
  EXPECT_EQ(Code(thief), absl::StatusCode::kAlreadyExists);
  EXPECT_THAT(std::string(thief.status().message()), HasSubstr("in the browser where that was"));
  EXPECT_TRUE(GetSession(With(first->token())).ok());
  // the person themselves, whose old token is then worth nothing
  const auto again = Accept(secret, "p1", NewId(), first->token());
  ASSERT_TRUE(again.ok()) << again.status();
  EXPECT_EQ(again->name(), first->name());
  EXPECT_TRUE(GetSession(With(again->token())).ok());
  ExpectEnded(With(first->token()));
  EXPECT_EQ(Code(Accept(secret, "p1", NewId(), first->token())), absl::StatusCode::kAlreadyExists);
}

TEST_F(PeopleTest, AnOperatorLetsALabelerStartAgainOnceOnAnotherDevice) {
  const std::string secret = Group(2), first_start = NewId();
  const auto first = Accept(secret, "p1", first_start);
  ASSERT_TRUE(Reset(first->name()).ok());
  ExpectEnded(With(first->token()));
  const auto again = Accept(secret, "p1");
  ASSERT_TRUE(again.ok()) << again.status();
  EXPECT_EQ(again->name(), first->name());
  EXPECT_EQ(Code(Accept(secret, "p1")), absl::StatusCode::kAlreadyExists);
  // nor does a repeated call of whoever was here before let them in again
  EXPECT_EQ(Code(Accept(secret, "p1", first_start)), absl::StatusCode::kAlreadyExists);
  EXPECT_TRUE(GetSession(With(again->token())).ok());
  EXPECT_EQ(Sql("SELECT count(*) FROM audit WHERE action = 'reset labeler'"), "1");
  ASSERT_TRUE(SetState(first->name(), v1::REVOKED).ok());
  EXPECT_EQ(Code(Reset(first->name())), absl::StatusCode::kFailedPrecondition);
  ASSERT_TRUE(Accept(Secret(Personal("Ada"))).ok());
  EXPECT_EQ(Code(Reset("Ada")), absl::StatusCode::kFailedPrecondition);
}

TEST_F(PeopleTest, EachStartIsAuditedWithAHashOfTheIdThatAForgottenPersonTakesAlong) {
  const std::string secret = Group(2);
  const auto first = Accept(secret, "p1");
  ASSERT_TRUE(Accept(secret, "p1", NewId(), first->token()).ok());
  ASSERT_TRUE(Accept(secret, "p2").ok());
  EXPECT_EQ(Sql("SELECT count(*) || ' of ' || count(DISTINCT detail) FROM audit "
                "WHERE action = 'accept invite' AND detail ~ 'outside id [0-9a-f]{64}$'"),
            "3 of 2");
  const char* const known =
      "SELECT count(*) FROM audit a JOIN callers c ON a.detail LIKE "
      "'%' || encode(sha256((c.outside_key || 'p1')::bytea), 'hex')";
  EXPECT_EQ(Sql(known), "2");
  const Peer& operator_peer = broker_.As(Role::kOperator);
  v1::ForgetLabelerRequest forget;
  forget.set_name(first->name());
  ASSERT_TRUE(operator_peer.Call(operator_peer.people, &People::ForgetLabeler, forget).ok());
  EXPECT_EQ(Sql(known), "0");
}

TEST_F(PeopleTest, APlaceholderThatThePlatformDidNotFillInIsNoId) {
  const std::string secret = Group(9);
  for (const std::string id :
       {"{{%PROLIFIC_PID%}}", "${assignmentId}", "${workerId}", "[worker_id]", "<id>", "%ID%",
        "undefined", "null", "ASSIGNMENT_ID_NOT_AVAILABLE", "PROLIFIC_PID"}) {
    const auto refused = Accept(secret, id);
    EXPECT_EQ(Code(refused), absl::StatusCode::kInvalidArgument) << id;
    EXPECT_THAT(std::string(refused.status().message()), HasSubstr("placeholder")) << id;
  }
  for (const std::string id : {"5f3c0de1a2b3c4d5e6f7a8b9", "A1B2C3D4E5F6G7", "ann@example.org"})
    EXPECT_TRUE(Accept(secret, id).ok()) << id;
}

TEST_F(PeopleTest, AFullGroupSaysSoUntilItsCapIsRaised) {
  const std::string secret = Group(1);
  ASSERT_TRUE(Accept(secret, "p1").ok());
  const auto refused = Accept(secret, "p2");
  EXPECT_EQ(Code(refused), absl::StatusCode::kFailedPrecondition);
  EXPECT_THAT(std::string(refused.status().message()), HasSubstr("this group is full"));
  const v1::InviteState invite = Invites().front();
  EXPECT_EQ(invite.taken(), 1);
  EXPECT_EQ(SetCap(invite.invite_id(), 2)->cap(), 2);
  EXPECT_TRUE(Accept(secret, "p2").ok());
  const auto lower = SetCap(invite.invite_id(), 1);
  EXPECT_EQ(Code(lower), absl::StatusCode::kFailedPrecondition);
  EXPECT_THAT(std::string(lower.status().message()), HasSubstr("2 places are taken"));
  EXPECT_EQ(Code(SetCap(invite.invite_id(), 0)), absl::StatusCode::kInvalidArgument);
  EXPECT_EQ(Code(SetCap(999, 5)), absl::StatusCode::kNotFound);
  Secret(Personal("Ada"));
  EXPECT_EQ(Code(SetCap(Invites().front().invite_id(), 5)), absl::StatusCode::kFailedPrecondition);
}

TEST_F(PeopleTest, PlacesOfThoseWhoAnswerNothingComeBackAfterAnHour) {
  OpenRun(4);
  const std::string secret = Group(2);
  const auto idle = Accept(secret, "idle"), busy = Accept(secret, "busy");
  ASSERT_TRUE(AnswerOne(With(busy->token())).ok());
  EXPECT_EQ(Code(Accept(secret, "late")), absl::StatusCode::kFailedPrecondition);
  AnHourPasses();
  EXPECT_EQ(Invites().front().taken(), 1);
  EXPECT_EQ(Invites().front().answered(), 1);
  const auto late = Accept(secret, "late");
  ASSERT_TRUE(late.ok()) << late.status();
  EXPECT_TRUE(GetSession(With(late->token())).ok());
  EXPECT_TRUE(GetSession(With(busy->token())).ok());
  ExpectEnded(With(idle->token()));
  // who answers keeps their place; who has lost it needs a free one, and is the same labeler then
  ASSERT_TRUE(AnswerOne(With(late->token())).ok());
  AnHourPasses();
  EXPECT_EQ(Code(Accept(secret, "idle")), absl::StatusCode::kFailedPrecondition);
  ASSERT_TRUE(SetCap(Invites().front().invite_id(), 3).ok());
  const auto back = Accept(secret, "idle");
  ASSERT_TRUE(back.ok()) << back.status();
  EXPECT_EQ(back->name(), idle->name());
  EXPECT_EQ(Code(Accept(secret, "more")), absl::StatusCode::kFailedPrecondition);
}

TEST_F(PeopleTest, APlaceThatNobodyWantsIsKept) {
  const std::string secret = Group(2);
  const auto idle = Accept(secret, "idle");
  AnHourPasses();
  ASSERT_TRUE(Accept(secret, "other").ok());
  EXPECT_TRUE(GetSession(With(idle->token())).ok());
}

TEST_F(PeopleTest, RevokingGivesAPlaceBackUnlessItsLabelerHasAnswered) {
  OpenRun(4);
  const std::string secret = Group(2);
  const auto idle = Accept(secret, "idle"), busy = Accept(secret, "busy");
  ASSERT_TRUE(AnswerOne(With(busy->token())).ok());
  ASSERT_TRUE(SetState(busy->name(), v1::REVOKED).ok());
  EXPECT_EQ(Code(Accept(secret, "late")), absl::StatusCode::kFailedPrecondition);
  ASSERT_TRUE(SetState(idle->name(), v1::REVOKED).ok());
  EXPECT_TRUE(Accept(secret, "late").ok());
  EXPECT_EQ(Code(Accept(secret, "later")), absl::StatusCode::kFailedPrecondition);
  EXPECT_EQ(Code(Accept(secret, "idle")), absl::StatusCode::kPermissionDenied);
}

TEST_F(PeopleTest, AWithdrawnInviteLetsNobodyInAndKeepsWhoIsIn) {
  const std::string group = Group(5);
  const auto in = Accept(group, "p1");
  const std::string personal = Secret(Personal("Ada"));
  for (const v1::InviteState& invite : Invites()) {
    for (int i = 0; i < 2; ++i) {
      const auto withdrawn = Withdraw(invite.invite_id());
      ASSERT_TRUE(withdrawn.ok()) << withdrawn.status();
      EXPECT_GT(withdrawn->withdrawn_ms(), 0);
    }
  }
  for (const auto& status :
       {Accept(group, "p2").status(), Describe(group).status(), Accept(personal).status(),
        Describe(personal).status(), Accept(group, "p1", NewId(), in->token()).status()}) {
    EXPECT_EQ(status.code(), absl::StatusCode::kNotFound);
    EXPECT_THAT(std::string(status.message()), HasSubstr("withdrawn"));
  }
  EXPECT_TRUE(GetSession(With(in->token())).ok());
  EXPECT_EQ(Sql("SELECT count(*) FROM audit WHERE action = 'withdraw invite'"), "2");
  EXPECT_EQ(Code(Withdraw(999)), absl::StatusCode::kNotFound);
  // the name that nobody has taken is free again
  EXPECT_TRUE(Invite(Personal("Ada")).ok());
}

TEST_F(PeopleTest, InvitesAreListedNewestFirstAPageAtATime) {
  for (const char* name : {"a", "b", "c"}) Secret(Personal(name));
  const Peer& peer = broker_.As(Role::kOperator);
  v1::ListInvitesRequest request;
  request.set_limit(2);
  const auto first = peer.Call(peer.people, &People::ListInvites, request);
  ASSERT_EQ(first->invites_size(), 2);
  EXPECT_EQ(first->invites(0).name(), "c");
  request.set_before_invite_id(first->invites(1).invite_id());
  const auto second = peer.Call(peer.people, &People::ListInvites, request);
  ASSERT_EQ(second->invites_size(), 1);
  EXPECT_EQ(second->invites(0).name(), "a");
  EXPECT_EQ(second->invites(0).cap(), 1);
  EXPECT_EQ(second->invites(0).taken(), 0);
  EXPECT_EQ(second->invites(0).role(), v1::INVITE_LABELER);
}

TEST_F(PeopleTest, LabelersAreSentOnUnderTlsAlone) {
  v1::InviteRequest request = Personal("crowd");
  request.mutable_group()->set_cap(1);
  for (const std::string bad : {"http://platform.example/", "javascript:alert(1)", "https://",
                                "https:// example.org", "//platform.example"}) {
    request.mutable_group()->set_redirect_url(bad);
    EXPECT_EQ(Code(Invite(request)), absl::StatusCode::kInvalidArgument) << bad;
  }
  request.mutable_group()->set_redirect_url("https://platform.example/done?cc=1");
  EXPECT_TRUE(Invite(request).ok());
}

TEST_F(PeopleTest, ALabelerAnswersForTheRunsOfTheirInviteAlone) {
  OpenRun(2);
  const v1::Run other = broker_.CreateRun();
  v1::InviteRequest request = Personal("Ada");
  request.add_run_ids(other.id());
  const Peer peer = With(Accept(Secret(request))->token());
  EXPECT_EQ(Lease(peer)->questions_size(), 0);
  EXPECT_EQ(Code(Lease(peer, run_.id())), absl::StatusCode::kPermissionDenied);
  EXPECT_EQ(Code(GetSession(peer, run_.id())), absl::StatusCode::kPermissionDenied);
  EXPECT_EQ(GetSession(peer)->run_id(), other.id());
  request = Personal("Bob");
  request.add_run_ids(999);
  EXPECT_EQ(Code(Invite(request)), absl::StatusCode::kNotFound);
}

TEST_F(PeopleTest, SignOutEndsAToken) {
  const Peer peer = With(Accept(Secret(Personal("Ada")))->token());
  ASSERT_TRUE(peer.Call(peer.people, &People::SignOut, v1::SignOutRequest()).ok());
  EXPECT_EQ(Code(GetSession(peer)), absl::StatusCode::kUnauthenticated);
}

// The browser's cookie may be copied: the token itself ends.
TEST_F(PeopleTest, ASessionEndsOnTheServerToo) {
  const std::pair<v1::InviteRole, std::string> sessions[] = {{v1::INVITE_LABELER, "720:00:00"},
                                                             {v1::INVITE_REVIEWER, "12:00:00"},
                                                             {v1::INVITE_OPERATOR, "12:00:00"},
                                                             {v1::INVITE_TEACHER, ""}};
  for (const auto& [role, lasts] : sessions) {
    v1::InviteRequest invite = Personal(v1::InviteRole_Name(role));
    invite.set_role(role);
    const auto accepted = Accept(Secret(invite));
    ASSERT_TRUE(accepted.ok()) << accepted.status();
    EXPECT_EQ(Sql(absl::StrCat("SELECT make_interval(secs => extract(epoch FROM k.expires_at - "
                               "k.created_at)) FROM tokens k JOIN callers c ON c.id = k.caller_id "
                               "WHERE c.name = '",
                               invite.name(), "'")),
              lasts);
    if (role != v1::INVITE_OPERATOR) continue;
    const Peer boss = With(accepted->token());
    const auto list = [&] {
      return boss.Call(boss.people, &People::ListInvites, v1::ListInvitesRequest()).status();
    };
    EXPECT_TRUE(list().ok()) << list();
    Sql("UPDATE tokens SET expires_at = now() WHERE expires_at IS NOT NULL");
    EXPECT_TRUE(Await([&] { return !list().ok(); }));
    EXPECT_TRUE(absl::IsUnauthenticated(list())) << list();
  }
}

TEST_F(PeopleTest, APauseSaysWhyAndEnds) {
  OpenRun(2);
  const Peer& peer = broker_.As(Role::kLabeler);
  ASSERT_TRUE(SetState("labeler", v1::LABELER_PAUSED, Role::kReviewer).ok());
  const auto paused = Lease(peer);
  EXPECT_EQ(paused->none(), v1::YOU_ARE_PAUSED);
  EXPECT_EQ(paused->message(), "too fast");
  EXPECT_TRUE(GetSession(peer)->paused());
  ASSERT_TRUE(SetState("labeler", v1::ACTIVE, Role::kReviewer).ok());
  EXPECT_EQ(Lease(peer)->questions_size(), 1);
  EXPECT_EQ(Code(SetState("nobody", v1::ACTIVE)), absl::StatusCode::kNotFound);
  EXPECT_EQ(Sql("SELECT count(*) FROM audit WHERE action = 'set labeler state'"), "2");
}

TEST_F(PeopleTest, RevokingEndsLeasesAndTokensForGood) {
  OpenRun(1);
  const Peer peer = With(Accept(Secret(Personal("Ada")))->token());
  ASSERT_EQ(Lease(peer)->questions_size(), 1);
  EXPECT_EQ(Code(SetState("Ada", v1::REVOKED, Role::kReviewer)),
            absl::StatusCode::kPermissionDenied);
  ASSERT_TRUE(SetState("Ada", v1::REVOKED).ok());
  EXPECT_EQ(Sql("SELECT open_slots FROM questions"), "1");
  ExpectEnded(peer);
  EXPECT_EQ(Code(SetState("Ada", v1::ACTIVE)), absl::StatusCode::kFailedPrecondition);
}

TEST_F(PeopleTest, ForgettingErasesThePersonAndKeepsTheLabels) {
  OpenRun(2);
  v1::InviteRequest request = Personal("crowd");
  request.mutable_group()->set_cap(2);
  const auto accepted = Accept(Secret(request), "prolific-77");
  const Peer peer = With(accepted->token());
  ASSERT_TRUE(AnswerOne(peer).ok());
  ASSERT_EQ(Lease(peer)->questions_size(), 1);
  const Peer& operator_peer = broker_.As(Role::kOperator);
  v1::ForgetLabelerRequest forget;
  forget.set_name(accepted->name());
  const auto forgotten = operator_peer.Call(operator_peer.people, &People::ForgetLabeler, forget);
  ASSERT_TRUE(forgotten.ok()) << forgotten.status();
  EXPECT_EQ(Sql("SELECT count(*) FROM labels"), "1");
  EXPECT_EQ(Sql("SELECT sum(open_slots) FROM questions"), "1");
  for (const std::string& trace : {accepted->name(), std::string("prolific-77")}) {
    EXPECT_EQ(Sql(absl::StrCat("SELECT (SELECT count(*) FROM callers c WHERE c::text LIKE '%",
                               trace, "%') + (SELECT count(*) FROM audit a WHERE a::text LIKE '%",
                               trace, "%')")),
              "0");
  }
  const auto labelers =
      operator_peer.Call(operator_peer.people, &People::ListLabelers, v1::ListLabelersRequest());
  ASSERT_TRUE(labelers.ok()) << labelers.status();
  bool listed = false;
  for (const v1::Labeler& labeler : labelers->labelers()) {
    if (labeler.name() == forgotten->name()) listed = labeler.labels() == 1;
  }
  EXPECT_TRUE(listed);
}

TEST_F(PeopleTest, RetractionReopensQuestionsOnceAndIsInTheFeed) {
  OpenRun(3);
  const Peer& peer = broker_.As(Role::kLabeler);
  const Peer& other = broker_.As(Role::kLabeler, "other");
  ASSERT_TRUE(AnswerOne(peer).ok());
  ASSERT_TRUE(AnswerOne(peer).ok());
  ASSERT_TRUE(AnswerOne(other).ok());
  EXPECT_EQ(Lease(other)->questions_size(), 0);
  const Peer& operator_peer = broker_.As(Role::kOperator);
  v1::RetractLabelsRequest request;
  request.set_request_id(NewId());
  request.set_name("labeler");
  for (int i = 0; i < 2; ++i) {
    const auto retracted =
        operator_peer.Call(operator_peer.people, &People::RetractLabels, request);
    ASSERT_TRUE(retracted.ok()) << retracted.status();
    EXPECT_EQ(retracted->labels(), 2);
    EXPECT_EQ(retracted->reopened_questions(), 2);
  }
  EXPECT_EQ(Sql("SELECT count(*) FROM labels WHERE retraction"), "2");
  EXPECT_EQ(Sql("SELECT count(*) FROM audit WHERE action = 'retract labels'"), "1");
  EXPECT_EQ(BrokenSlots(broker_), "0");
  ASSERT_TRUE(AnswerOne(other).ok());
  ASSERT_TRUE(AnswerOne(other).ok());
  request.set_name("other");
  EXPECT_EQ(Code(operator_peer.Call(operator_peer.people, &People::RetractLabels, request)),
            absl::StatusCode::kAlreadyExists);
}

TEST_F(PeopleTest, ScenesAreStoredByHashAndRunsNameStoredOnes) {
  const Peer& operator_peer = broker_.As(Role::kOperator);
  v1::PutSceneRequest put;
  put.set_glb(std::string("glTF\x02\0\0\0\x0c\0\0\0", 12));
  const auto scene =
      operator_peer.Call(operator_peer.bundles, &v1::BundleService::Stub::PutScene, put);
  ASSERT_TRUE(scene.ok()) << scene.status();
  const Peer& peer = broker_.As(Role::kLabeler);
  v1::GetSceneRequest get;
  get.set_scene_hash(scene->scene_hash());
  EXPECT_EQ(peer.Call(peer.labeling, &Labeling::GetScene, get)->glb(), put.glb());
  get.set_scene_hash(std::string(64, '0'));
  EXPECT_EQ(Code(peer.Call(peer.labeling, &Labeling::GetScene, get)), absl::StatusCode::kNotFound);
  put.set_glb("<html>");
  EXPECT_EQ(
      Code(operator_peer.Call(operator_peer.bundles, &v1::BundleService::Stub::PutScene, put)),
      absl::StatusCode::kInvalidArgument);
  const v1::Run run = broker_.CreateRun();
  v1::CreateRunRequest create;
  create.set_request_id(NewId());
  *create.mutable_task() = run.task();
  create.mutable_task()->set_scene_hash(std::string(64, '0'));
  EXPECT_EQ(Code(operator_peer.Call(operator_peer.runs, &v1::RunService::Stub::Create, create)),
            absl::StatusCode::kNotFound);
}

}  // namespace
}  // namespace backflip::testing
