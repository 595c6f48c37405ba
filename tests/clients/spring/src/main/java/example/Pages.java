package example;

import jakarta.servlet.http.HttpServletRequest;
import java.util.Collection;
import java.util.List;
import java.util.Map;
import org.springframework.security.core.Authentication;
import org.springframework.security.core.GrantedAuthority;
import org.springframework.security.core.annotation.AuthenticationPrincipal;
import org.springframework.security.oauth2.client.OAuth2AuthorizeRequest;
import org.springframework.security.oauth2.client.OAuth2AuthorizedClient;
import org.springframework.security.oauth2.client.OAuth2AuthorizedClientManager;
import org.springframework.security.oauth2.client.authentication.OAuth2AuthenticationToken;
import org.springframework.security.oauth2.client.web.OAuth2AuthorizedClientRepository;
import org.springframework.security.oauth2.core.oidc.user.OidcUser;
import org.springframework.security.oauth2.jwt.Jwt;
import org.springframework.web.bind.annotation.GetMapping;
import org.springframework.web.bind.annotation.RestController;

/** What the site and the API show. */
@RestController
class Pages {

  private final OAuth2AuthorizedClientRepository kept;
  private final OAuth2AuthorizedClientManager manager;

  Pages(OAuth2AuthorizedClientRepository kept, OAuth2AuthorizedClientManager manager) {
    this.kept = kept;
    this.manager = manager;
  }

  @GetMapping("/me")
  Map<String, Object> me(
      @AuthenticationPrincipal OidcUser user,
      OAuth2AuthenticationToken login,
      HttpServletRequest request) {
    OAuth2AuthorizedClient client =
        kept.loadAuthorizedClient(
            login.getAuthorizedClientRegistrationId(), login, request);
    return Map.of(
        "claims", user.getClaims(),
        "authorities", names(login.getAuthorities()),
        "access_token", client.getAccessToken().getTokenValue(),
        "id_token", user.getIdToken().getTokenValue());
  }

  /** A token that is good for a minute at least: refreshed if it has to be. */
  @GetMapping("/token")
  Map<String, Object> token(OAuth2AuthenticationToken login) {
    OAuth2AuthorizedClient client =
        manager.authorize(
            OAuth2AuthorizeRequest.withClientRegistrationId(
                    login.getAuthorizedClientRegistrationId())
                .principal(login)
                .build());
    return Map.of("access_token", client.getAccessToken().getTokenValue());
  }

  @GetMapping("/auditors")
  String auditors() {
    return "books";
  }

  @GetMapping("/bye")
  String bye() {
    return "bye";
  }

  @GetMapping({"/api", "/api/strict", "/api/unaware", "/api/auditors"})
  Map<String, Object> api(@AuthenticationPrincipal Jwt token, Authentication caller) {
    return Map.of(
        "claims", token.getClaims(), "authorities", names(caller.getAuthorities()));
  }

  private static List<String> names(Collection<? extends GrantedAuthority> authorities) {
    return authorities.stream().map(GrantedAuthority::getAuthority).sorted().toList();
  }
}
