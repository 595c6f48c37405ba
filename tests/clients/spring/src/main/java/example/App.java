package example;

import static org.springframework.security.config.Customizer.withDefaults;

import java.util.HashSet;
import java.util.List;
import java.util.Set;
import org.springframework.beans.factory.annotation.Value;
import org.springframework.boot.SpringApplication;
import org.springframework.boot.autoconfigure.SpringBootApplication;
import org.springframework.context.annotation.Bean;
import org.springframework.core.annotation.Order;
import org.springframework.security.config.annotation.web.builders.HttpSecurity;
import org.springframework.security.core.GrantedAuthority;
import org.springframework.security.core.authority.SimpleGrantedAuthority;
import org.springframework.security.core.authority.mapping.GrantedAuthoritiesMapper;
import org.springframework.security.oauth2.client.oidc.web.logout.OidcClientInitiatedLogoutSuccessHandler;
import org.springframework.security.oauth2.client.registration.ClientRegistrationRepository;
import org.springframework.security.oauth2.client.web.DefaultOAuth2AuthorizationRequestResolver;
import org.springframework.security.oauth2.client.web.OAuth2AuthorizationRequestCustomizers;
import org.springframework.security.oauth2.core.oidc.user.OidcUserAuthority;
import org.springframework.security.oauth2.jwt.JwtDecoders;
import org.springframework.security.oauth2.jwt.JwtValidators;
import org.springframework.security.oauth2.jwt.NimbusJwtDecoder;
import org.springframework.security.web.SecurityFilterChain;

/** A site that logs people in, and an API that takes access tokens: who may what. */
@SpringBootApplication
public class App {

  public static void main(String[] arguments) {
    SpringApplication.run(App.class, arguments);
  }

  // The API of a provider with compat: strict, whose access tokens are of RFC 9068.
  @Bean
  @Order(1)
  SecurityFilterChain strictApi(
      HttpSecurity http,
      @Value("${spring.security.oauth2.client.provider.strict.issuer-uri}") String issuer)
      throws Exception {
    NimbusJwtDecoder decoder =
        NimbusJwtDecoder.withIssuerLocation(issuer).validateType(false).build();
    decoder.setJwtValidator(
        JwtValidators.createAtJwtValidator()
            .issuer(issuer)
            .clientId("spring")
            .audience("spring")
            .build());
    return http.securityMatcher("/api/strict")
        .authorizeHttpRequests(requests -> requests.anyRequest().authenticated())
        .oauth2ResourceServer(server -> server.jwt(jwt -> jwt.decoder(decoder)))
        .build();
  }

  // The same by somebody who does not know of RFC 9068: Boot makes such a decoder.
  @Bean
  @Order(2)
  SecurityFilterChain unawareApi(
      HttpSecurity http,
      @Value("${spring.security.oauth2.client.provider.strict.issuer-uri}") String issuer)
      throws Exception {
    return http.securityMatcher("/api/unaware")
        .authorizeHttpRequests(requests -> requests.anyRequest().authenticated())
        .oauth2ResourceServer(
            server -> server.jwt(jwt -> jwt.decoder(JwtDecoders.fromIssuerLocation(issuer))))
        .build();
  }

  // The API as application.properties says.
  @Bean
  @Order(3)
  SecurityFilterChain api(HttpSecurity http) throws Exception {
    return http.securityMatcher("/api", "/api/**")
        .authorizeHttpRequests(
            requests ->
                requests
                    .requestMatchers("/api/auditors")
                    .hasRole("auditors")
                    .anyRequest()
                    .authenticated())
        .oauth2ResourceServer(server -> server.jwt(withDefaults()))
        .build();
  }

  @Bean
  @Order(4)
  SecurityFilterChain site(HttpSecurity http, ClientRegistrationRepository clients)
      throws Exception {
    var requests =
        new DefaultOAuth2AuthorizationRequestResolver(clients, "/oauth2/authorization");
    requests.setAuthorizationRequestCustomizer(
        OAuth2AuthorizationRequestCustomizers.withPkce());
    var out = new OidcClientInitiatedLogoutSuccessHandler(clients);
    out.setPostLogoutRedirectUri("{baseUrl}/bye");
    return http.authorizeHttpRequests(
            paths ->
                paths
                    .requestMatchers("/bye")
                    .permitAll()
                    .requestMatchers("/auditors")
                    .hasRole("auditors")
                    .anyRequest()
                    .authenticated())
        .oauth2Login(
            login ->
                login.authorizationEndpoint(
                    endpoint -> endpoint.authorizationRequestResolver(requests)))
        .logout(logout -> logout.logoutSuccessHandler(out))
        .oidcLogout(logout -> logout.backChannel(withDefaults()))
        .build();
  }

  /** Groups are roles. */
  @Bean
  GrantedAuthoritiesMapper roles() {
    return given -> {
      Set<GrantedAuthority> all = new HashSet<>(given);
      for (GrantedAuthority each : given) {
        if (each instanceof OidcUserAuthority user) {
          List<String> groups = user.getIdToken().getClaimAsStringList("groups");
          for (String group : groups == null ? List.<String>of() : groups) {
            all.add(new SimpleGrantedAuthority("ROLE_" + group));
          }
        }
      }
      return all;
    };
  }
}
